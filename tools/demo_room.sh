#!/usr/bin/env bash
# Train a room on a synthetic archive, with its own recipe shortened to what two cores do in some ten minutes:
#   bash tools/demo_room.sh MS-G3D [flags of its main.py; they win over those below]
# DEMO=FOLDER instead of demo/, PYTHON=FILE instead of .venv/bin/python. SKELETON=coco17: the same people as a pose
# estimator sees them, 17 joints in pixels with scores.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
room=${1:-}
shift || true
python=$(realpath -s "${PYTHON:-$root/.venv/bin/python}")
demo=$(realpath -m "${DEMO:-$root/demo}")
[ -x "$python" ] || { echo "error: $python is not there: make setup makes it, or name one: PYTHON=FILE" >&2; exit 2; }
skeleton=${SKELETON:-}
of=${skeleton:+_$skeleton}  # behind names
short=(--device cpu --num-worker 0)

archive() {  # NAME [flags of synthetic]: made once
    [ -f "$demo/$1" ] || (cd "$root" && "$python" -m skeleton_lab.data.synthetic \
        --out "$demo/$1" --train 640 --test 200 --classes 10 ${skeleton:+--skeleton "$skeleton"} "${@:2}")
}

train() {  # flags of main.py
    cd "$root/$room"
    NTU60_ROOT=$demo "$python" main.py "$@"
}

first_person() {  # clips of 16 frames
    clips=one16$of.npz
    archive "whole16$of.npz" --resample 16
    [ -f "$demo/$clips" ] ||
        "$python" "$root/dataset_tools/convert.py" --input "$demo/whole16$of.npz" --output "$demo/$clips" --persons 1
}

seen_from_room() {  # PATH
    case $1 in /*) echo "$1" ;; *) echo "$root/$room/$1" ;; esac
}

next() {  # NAME of the archive: what to try with the network that the run has left
    local weights
    weights=$(ls -t "$work"/{runs-*,weights/weights-*,epoch*_model,epoch_*}.pt 2>/dev/null | head -n 1 || true)
    [ -n "$weights" ] || return 0
    echo "Next: what does this network see in single clips? (writes a page on which they move)"
    printf 'cd %q && %q predict.py --config %q --weights %q --input %q --index 0 1 2 3 --output %q\n' \
        "$root/$room" "$python" "$work/config.yaml" "$weights" "$demo/$1" "$work/predict"
}

clips=NTU60_CS$of.npz
work=$demo/$(echo "$room" | tr -d - | tr '[:upper:]' '[:lower:]')$of
before=
for flag in "$@"; do  # they win
    case $before in --work[-_]dir) work=$(seen_from_room "$flag") ;; esac
    case $flag in --work[-_]dir=*) work=$(seen_from_room "${flag#*=}") ;; esac
    before=$flag
done
data="data_path='$demo/$clips'"
gently="p_interval=[0.9,1],random_rot=False"
case $room in
CTR-GCN)
    archive "$clips"
    train --config config/nturgbd-cross-subject/default.yaml --work-dir "$work" "${short[@]}" \
        --num-epoch 8 --step 5 7 --warm_up_epoch 1 --base-lr 0.05 --batch-size 16 \
        --train-feeder-args "$data,window_size=16,$gently" --test-feeder-args "$data,window_size=16" "$@"
    ;;
MS-G3D)  # takes clips as they are: of 16 frames; of key points the first person
    if [ -z "$skeleton" ]; then
        clips=whole16.npz
        archive "$clips" --resample 16
        how=(--num-epoch 12 --step 9 11)
    else
        first_person
        how=(--num-epoch 12 --step 8 11 --optimizer Adam --base-lr 0.001 --weight-decay 0.0001 --model-args num_person=1)
    fi
    data="data_path='$demo/$clips'${skeleton:+,num_person=1}"
    train --config config/nturgbd-cross-subject/train_joint_kaggle.yaml --work-dir "$work" "${short[@]}" \
        "${how[@]}" --batch-size 16 --forward-batch-size 16 --test-batch-size 50 \
        --train-feeder-args "$data" --test-feeder-args "$data" "$@"
    ;;
FreqMixFormer)
    archive "$clips"
    how=(--num-epoch 12 --step 10) frames=24
    [ -z "$skeleton" ] || how=(--num-epoch 15 --step 12) frames=16
    train --config config/nturgbd-cross-subject/joint.yaml --work-dir "$work" "${short[@]}" \
        "${how[@]}" --warm_up_epoch 1 --base-lr 0.05 --batch-size 16 --test-batch-size 50 \
        --train-feeder-args "$data,window_size=$frames,$gently" --test-feeder-args "$data,window_size=$frames" "$@"
    ;;
SkateFormer)  # the first person, without the augmentations and the dropout that 500 epochs are for
    archive "$clips"
    how=(--num-epoch 18 --warm_up_epoch 1)
    [ -z "$skeleton" ] || how=(--num-epoch 24 --warm_up_epoch 3 --base-lr 0.0004 --weight-decay 0.05)
    train --config config/train/ntu_cs/SkateFormer_j_tiny.yaml --work-dir "$work" "${short[@]}" \
        "${how[@]}" --batch-size 16 --test-batch-size 50 \
        --train-feeder-args "$data,window_size=16,thres=16,num_person=1,p_interval=[0.9,1],intra_p=0.0,inter_p=0.0" \
        --test-feeder-args "$data,window_size=16,thres=16,num_person=1" \
        --model-args num_people=1,attn_drop=0.0,drop_path=0.0 "$@"
    ;;
Hyper-GCN)
    archive "$clips"
    epochs=(6 --step 4 5)
    [ -z "$skeleton" ] || epochs=(10 --step 6 8)
    train --config config/base/nturgbd-cross-subject/hyper_joint.yaml --work-dir "$work" "${short[@]}" \
        --num-epoch "${epochs[@]}" --warm_up_epoch 1 --batch-size 16 \
        --train-feeder-args "$data,window_size=24,$gently" --test-feeder-args "$data,window_size=24" "$@"
    ;;
DeGCN)
    archive "$clips"
    train --config config/nturgbd-cross-subject/default.yaml --work-dir "$work" "${short[@]}" \
        --num-epoch 8 --step 5 7 --warm_up_epoch 1 --cosine-epoch 0 --base-lr 0.05 --batch-size 16 \
        --train-feeder-args "$data,window_size=16,$gently" --test-feeder-args "$data,window_size=16" "$@"
    ;;
PYSKL)  # ST-GCN++
    archive "$clips"
    how=(--num-epoch 16 --base-lr 0.05)
    [ -z "$skeleton" ] || how=(--num-epoch 17 --base-lr 0.006 --optimizer Adam --weight-decay 0.0001)
    data+=,times=1,window_size=16${skeleton:+,num_person=1}
    train --config config/stgcnpp/ntu60_xsub_3dkp/j.yaml --work-dir "$work" "${short[@]}" \
        "${how[@]}" --batch-size 8 --forward-batch-size 8 --test-batch-size 50 \
        --train-feeder-args "$data,split=train" --test-feeder-args "$data,split=test" "$@"
    ;;
ST-GCN)  # takes clips as they are: of 16 frames, the first person
    first_person
    how=(--num_epoch 24 --base_lr 0.001)
    [ -z "$skeleton" ] || how=(--num_epoch 22 --base_lr 0.0005)
    train recognition -c config/st_gcn/ntu-xsub/train.yaml --work_dir "$work" --use_gpu False --num_worker 0 \
        "${how[@]}" --optimizer Adam --seed 1 --batch_size 8 --test_batch_size 50 \
        --eval_interval 1 --model_args dropout=0 --train_feeder_args "data_path='$demo/$clips',split=train" \
        --test_feeder_args "data_path='$demo/$clips',split=test" "$@"
    ;;
*)
    echo "error: ROOM '$room': choose CTR-GCN, MS-G3D, FreqMixFormer, SkateFormer, Hyper-GCN, DeGCN, PYSKL or ST-GCN" >&2
    exit 2
    ;;
esac
next "$clips"
