"""The small annotations that came with PYSKL's fixtures, whose module looks for a neighbour by its bare name."""

from __future__ import annotations

import sys

from parity import kaggle_sample

sys.modules.setdefault("kaggle_sample", kaggle_sample)

from parity.pyskl_sample import annotation, compressed, make_pickle  # noqa: E402

__all__ = ["annotation", "compressed", "make_pickle"]
