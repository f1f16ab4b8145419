#!/usr/bin/env bash
# Question: sleap-io's Labels.numpy(return_confidence=True) gives (frames, tracks, nodes, 3) of x, y, confidence. What is
#   the confidence of a node that a person has marked as not visible, that is, without a place?
# Good guess: NaN or 0, as of a frame that holds nobody: whoever keeps what has a confidence above 0.3 gets places.
# What happens: 1.0, beside NaN for x and y, in instances that a person has labelled. In a frame without an instance all
#   three are NaN. So the confidence does not say what was found; only x and y do.
# sleap-io 0.9.5, 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sleap-io==0.9.5
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import sleap_io as sio

print("sleap-io", sio.__version__)
skeleton = sio.Skeleton(["head", "elbow", "wrist"])
video, track = sio.Video(filename="a.mp4"), sio.Track("anna")
points = np.array([[100.0, 50.0], [120.0, 90.0], [np.nan, np.nan]])  # the wrist is hidden
frames = [
    sio.LabeledFrame(video=video, frame_idx=t, instances=[sio.Instance.from_numpy(points, skeleton=skeleton, track=track)])
    for t in (0, 2)
]
made = sio.Labels(frames).numpy(return_confidence=True)
print("shape", made.shape)
for t in range(3):
    for node, name in enumerate(skeleton.node_names):
        print(f"frame {t}, {name}: x, y, confidence =", made[t, 0, node])
assert np.isnan(made[0, 0, 2, :2]).all() and made[0, 0, 2, 2] == 1, "a node without a place no longer has confidence 1"
assert np.isnan(made[1]).all(), "a frame without instances is no longer NaN"
kept = made[made[..., 2] > 0.3]
print(f"of {len(kept)} points with a confidence above 0.3, {np.isnan(kept[:, 0]).sum()} have no place")
assert np.isnan(kept[:, 0]).sum() == 2
PYTHON
