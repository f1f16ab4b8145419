#!/usr/bin/env bash
# Question: four minimisers of scikit-optimize take the same arguments (gp_minimize, forest_minimize, gbrt_minimize,
#   dummy_minimize). Its metadata ask for scikit-learn>=1.0.0. With a current scikit-learn, can one be put in place of
#   another, as its documentation compares them?
# A good guess: yes, all four work, or pip would not install the pair, and none does if one does not.
# What happens: gp_minimize and forest_minimize work. gbrt_minimize raises ValueError: scikit-optimize's own
#   quantile regressor "has to be a regressor" and is none by the tags of scikit-learn. dummy_minimize raises
#   AttributeError ('NoneType' object has no attribute '__sklearn_tags__'), although it needs no model at all; beside
#   scikit-learn 1.7.2 it still works. scikit-optimize 0.10.2 is the newest release.
# Versions: scikit-optimize 0.10.2, scikit-learn 1.9.1, NumPy 2.4.6, SciPy 1.17.1 (Python 3.11 or newer). 2026-11-28
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  scikit-optimize==0.10.2 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 2>"$folder/pip.log" ||
  { cat "$folder/pip.log" >&2 && exit 3; }
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import requires, version

import skopt

print(f"scikit-optimize {version('scikit-optimize')}, scikit-learn {version('scikit-learn')}")
print("asks for:", next(line for line in requires("scikit-optimize") if line.startswith("scikit-learn")))
got = {}
for name in ("gp_minimize", "forest_minimize", "gbrt_minimize", "dummy_minimize"):
    try:
        found = getattr(skopt, name)(lambda x: (x[0] - 0.5) ** 2, [(0.2, 1.2)], n_calls=15, random_state=0)
        got[name] = "works"
        print(f"{name}: x = {found.x[0]:.3f} after {len(found.func_vals)} evaluations")
    except Exception as error:
        got[name] = type(error).__name__
        print(f"{name}: {got[name]}: {' '.join(str(error).split())[:150]}")
seen = ["works", "works", "ValueError", "AttributeError"]
sys.exit(0 if list(got.values()) == seen else 1)
PYTHON
