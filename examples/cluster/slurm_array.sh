#!/bin/bash
# Extracts a data set on 16 machines of a Slurm cluster: one job array, one common output folder.
#
#   sbatch examples/cluster/slurm_array.sh
#   mgst-data inspect "$OUT" --parts 16      # afterwards: which parts are missing; submit them again with --array=2,7
#
#SBATCH --job-name=mgst-extract
#SBATCH --array=1-16
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=08:00:00
#SBATCH --requeue
set -euo pipefail

SRC=${SRC:-/data/FaceForensics++}
OUT=${OUT:-/data/shards}
srun mgst-data extract --src "$SRC" --out "$OUT" --workers "$SLURM_CPUS_PER_TASK" \
    --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
