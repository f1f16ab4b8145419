#!/bin/bash
# All FS-VAE experiments on NTU-120: 110/10 and 96/24, five text modes; needs sk_feats/ and text_feats/.
# Further flags go to skeleton_lab.zero_shot.published_script: --resume, --tm lb, --select last, --seeds 5 6 7 ...
cd "$(dirname "$0")" || exit 1
python=../.venv/bin/python; [ -x "$python" ] || python=python3
export PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}..  # a Python without skeleton_lab finds it, to be told what it lacks
exec "$python" -m skeleton_lab.zero_shot.published_script --ntu 120 --ss 10 24 --num_epoch_per_cycle 1900 --latent_size 200 \
  --alpha 0.1 --lmd 100 --use_cr_fact 1 --version neg_t --train_program train_neg_t.py "$@"
