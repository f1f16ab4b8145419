#!/usr/bin/env bash
# Question: a list of COCO key-point results (image_id, category_id, keypoints, score) is given to pycocotools for an
#   evaluation, and is then written to a file or read by a tracker. Is it still the list that the pose estimator made?
# Good guess: yes. loadRes builds an index of its own, as COCO() does of a file; the results stay as they are.
# What happens: loadRes of a list writes into the caller's own dicts. Each gets "id", 1, 2, 3 ... over all detections of
#   all frames, beside "image_id" (whoever takes "id" for the number of a track sees a new person in every detection).
#   Results without a box get "bbox" and "area", over all key points, those with score 0 at (0, 0) included: with one
#   joint hidden the box reaches into the corner of the image, and the area is that of this box.
# pycocotools 2.0.10, 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycocotools==2.0.10
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import copy
import io
from importlib.metadata import version

from pycocotools.coco import COCO

print("pycocotools", version("pycocotools"))
truth = COCO()
truth.dataset = {
    "info": {},
    "images": [{"id": 0}, {"id": 1}],
    "categories": [{"id": 1, "name": "person", "keypoints": [f"k{k}" for k in range(17)]}],
    "annotations": [],
}
body = [v for k in range(17) for v in (400.0 + 5 * k, 300.0 + 10 * k, 0.9)]
unseen = [0.0, 0.0, 0.0]  # the last ankle is hidden
people = [
    {"image_id": t, "category_id": 1, "keypoints": body[:-3] + unseen, "score": 0.9} for t in (0, 1)
]
before = copy.deepcopy(people)
with contextlib.redirect_stdout(io.StringIO()):
    truth.createIndex()
    truth.loadRes(people)
print("keys before:", sorted(before[0]))
for person in people:
    print("the caller's own list after loadRes:", {key: person[key] for key in sorted(person) if key != "keypoints"})
print("what was found spans x 400 to 475, y 300 to 450")
assert [person["id"] for person in people] == [1, 2], "no more ids in the caller's list"
assert all(person["bbox"] == [0, 0, 475, 450] for person in people), "the box no longer reaches the corner"
assert all(person["area"] == 475 * 450 for person in people)
PYTHON
