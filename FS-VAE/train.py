"""Train FS-VAE and test it on unseen classes: ``python train.py --help``."""

from __future__ import annotations

from skeleton_lab.zero_shot.programs import train

if __name__ == "__main__":
    raise SystemExit(train("fsvae"))
