#!/bin/bash
# Trains on 2 machines of a Slurm cluster with 4 GPUs each: one torchrun on each machine, one process for each GPU.
# After a lost process or machine, the training goes on from its last state; so it does when the job is submitted again.
#
#   sbatch examples/cluster/slurm_train.sh
#
#SBATCH --job-name=mgst-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

SHARDS=${SHARDS:-/data/shards}
# On a file system that all machines share.
OUT=${OUT:-/data/runs/base}
FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" --max-restarts 3 \
    --rdzv-backend c10d --rdzv-endpoint "$FIRST:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m mgst_cli.train "$SHARDS" --preset base --out "$OUT"
