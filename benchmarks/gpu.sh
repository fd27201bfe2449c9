#!/usr/bin/env bash
# Tests and measures on one GPU everything that runs there, in at most ten minutes, without a network.
#
#   OUT=results bash benchmarks/gpu.sh          needs a CUDA device
#   OUT=results bash benchmarks/gpu.sh --cpu    tries the script itself: on the CPU, with tiny sizes; figures are not valid
#
# PYTHON   the Python to use; default: python3
# WHEELS   folder of wheels to install first, with mgst's dependencies; default: none. mgst itself is this folder.
# The results are log.txt, augment.json, augment_scaling_*.png, train.json, gpu.json and gpu.png in $OUT.
# A part that fails or exceeds its time does not stop the others. Exit code 1 if any part failed.
set -uo pipefail
cd "$(dirname "$0")/.."
: "${OUT:?set OUT to the folder for the results}"
mkdir -p "$OUT"
PYTHON=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ -n "${WHEELS:-}" ]; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target "$scratch/site" "$WHEELS"/*.whl || exit 1
fi
# The import names of the folders cli and configs, as an installation makes them.
mkdir -p "$scratch/names"
ln -s "$PWD/cli" "$scratch/names/mgst_cli"
ln -s "$PWD/configs" "$scratch/names/mgst_configs"
export PYTHONPATH="$scratch/site:$scratch/names:$PWD" NO_ALBUMENTATIONS_UPDATE=1 PYTHONUNBUFFERED=1

failed=()
part() { # name, limit in seconds, command
    echo "== $1"
    timeout "$2" "${@:3}" 2>&1 | tee -a "$OUT/log.txt"
    local code=${PIPESTATUS[0]}
    [ "$code" -eq 0 ] || { echo "== $1 failed: exit code $code"; failed+=("$1"); }
}

if [ "${1:-}" = "--cpu" ]; then
    part tests 900 "$PYTHON" -m pytest -m gpu -p no:cacheprovider tests/core tests/augment/test_base.py
    part blending 1800 "$PYTHON" benchmarks/bench_augment.py --quick --gpu-on-cpu --out "$OUT" \
        --only cuda_eager --only cuda_scaling --only cuda_compiled
    part training 900 "$PYTHON" benchmarks/bench_train.py --quick --only small --out "$OUT"
    part other 900 "$PYTHON" benchmarks/bench_gpu.py --quick --device cpu --out "$OUT"
else
    "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "no CUDA device"; exit 1; }
    export MGST_REQUIRE_GPU=1
    part tests 120 "$PYTHON" -m pytest -m gpu -p no:cacheprovider tests
    part blending 210 "$PYTHON" benchmarks/bench_augment.py --out "$OUT" \
        --only cuda_eager --only cuda_scaling --only cuda_compiled
    part training 140 "$PYTHON" benchmarks/bench_train.py --only base --out "$OUT"
    part other 130 "$PYTHON" benchmarks/bench_gpu.py --out "$OUT"
fi
ls -l "$OUT"
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
