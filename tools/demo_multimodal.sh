#!/usr/bin/env bash
# Actions that look alike as skeletons, descriptors of what people have in hand, a small ST-GCN++ that leaves some subjects
# out of its training, and the table of what the descriptors add:
#   bash tools/demo_multimodal.sh [flags of `skeleton-lab multimodal`; they win over the defaults]
# DEMO=FOLDER instead of demo/multimodal, PYTHON=FILE instead of .venv/bin/python. What is there is not made again.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(realpath -s "${PYTHON:-$root/.venv/bin/python}")
demo=$(realpath -m "${DEMO:-$root/demo/multimodal}")
[ -x "$python" ] || { echo "error: $python is not there: make setup makes it, or name one: PYTHON=FILE" >&2; exit 2; }
lab() { (cd "$root" && "$python" -m skeleton_lab "$@"); }
epochs=${EPOCHS:-12}

[ -f "$demo/descriptors.npz" ] || lab synthetic --out "$demo/objects.npz" --train 400 --test 400 --resample 16 \
    --actions 0 6 9 21 22 33 37 38 49 51 --descriptors "$demo/descriptors.npz"
data="data_path='$demo/objects.npz',times=1,window_size=16"
ls "$demo/skeleton/runs-$epochs-"*.pt >/dev/null 2>&1 || lab train pyskl --work-dir "$demo/skeleton" --device cpu --num-worker 0 \
    --num-epoch "$epochs" --base-lr 0.05 --batch-size 16 --forward-batch-size 16 --test-batch-size 100 --val-split subjects \
    --model-args base_channels=32,num_stages=4,inflate_stages=[3],down_stages=[3] \
    --train-feeder-args "$data,split=train" --test-feeder-args "$data,split=test,num_clips=1"
weights=$(ls "$demo/skeleton/runs-$epochs-"*.pt)
lab multimodal pyskl --weights "$weights" --data "$demo/objects.npz" --descriptors "$demo/descriptors.npz" \
    --work-dir "$demo/table" "$@"
echo "The page: $demo/table/multimodal.html"
