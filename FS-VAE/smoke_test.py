"""One forward and backward pass of FS-VAE on random input: ``python smoke_test.py --device cpu``."""

from __future__ import annotations

from skeleton_lab.zero_shot.smoke import smoke_test

if __name__ == "__main__":
    raise SystemExit(smoke_test("fsvae"))
