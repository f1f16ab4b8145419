"""Writes NTU60_CS.npz in the 5-D layout, x (N, 3, T, 25, 2) and integer labels. Every room reads either layout."""

from __future__ import annotations

import sys
from pathlib import Path

from skeleton_lab.data.archives.convert import to_five

if __name__ == "__main__":
    sys.exit(to_five(None, __doc__ or "", Path("/workspace/CTR-GCN/data/ntu/NTU60_CS.npz")))
