"""Writes MS-G3D's arrays and label pickles from NTU60_CS.npz, in either layout. MS-G3D also reads the NPZ itself."""

from __future__ import annotations

import sys

from skeleton_lab.data.archives.convert import to_msg3d

if __name__ == "__main__":
    sys.exit(to_msg3d(None, __doc__ or ""))
