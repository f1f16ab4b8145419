#!/bin/bash
# All FS-VAE experiments on NTU-60: 55/5 and 48/12, five text modes; needs sk_feats/ and text_feats/.
# Further flags go to skeleton_lab.zero_shot.published_script: --resume, --tm lb, --select last, --seeds 5 6 7 ...
cd "$(dirname "$0")" || exit 1
python=../.venv/bin/python; [ -x "$python" ] || python=python3
export PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}..  # a Python without skeleton_lab finds it, to be told what it lacks
exec "$python" -m skeleton_lab.zero_shot.published_script --ntu 60 --ss 5 12 --num_epoch_per_cycle 1700 --latent_size 100 \
  --alpha 0.5 --lmd 100 --use_cr_fact 1 --version neg_t "$@"
