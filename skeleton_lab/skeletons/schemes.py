"""The orders of joints that ``--keypoints`` takes, of the skeletons in ``layouts.yaml``; NTU-25 is made of each."""

from __future__ import annotations

from skeleton_lab.skeletons.layouts import Layout, known

SCORE = 0.3  # of a joint that was found, the custom of the field

Scheme = Layout
COCO17, BODY25, COCO18, MEDIAPIPE33, H36M17, NTU25, UCLA20 = (
    known()[name] for name in ("coco17", "body25", "coco18", "mediapipe33", "h36m17", "ntu25", "ucla20")
)
SCHEMES = {s.name: s for s in (COCO17, BODY25, COCO18, MEDIAPIPE33, H36M17, NTU25, UCLA20)}


def other_side(name: str) -> str:
    """``left_knee`` for ``right_knee`` and the reverse."""
    side, _, rest = name.partition("_")
    return f"{ {'left': 'right', 'right': 'left'}[side] }_{rest}" if side in ("left", "right") else name
