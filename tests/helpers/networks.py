"""Every supervised network that differs from the others, by the configuration that has it."""

from __future__ import annotations

FRAMES = 16
# Of PYSKL's networks one stage of each kind: the first, one added to its input, one added to a strided projection
FEW_STAGES = {"num_stages": 4, "inflate_stages": [3], "down_stages": [3]}

# room, configuration, model_args that it changes, fixture that lists parameters without a gradient
NETWORKS = [
    ("CTR-GCN", "config/nturgbd-cross-subject/default.yaml", {}, "ctrgcn"),
    ("CTR-GCN", "config/ucla/default.yaml", {}, "ctrgcn"),
    ("MS-G3D", "config/nturgbd-cross-subject/train_joint_kaggle.yaml", {}, "msg3d"),
    ("MS-G3D", "config/kinetics-skeleton/train_joint.yaml", {}, "msg3d"),
    ("FreqMixFormer", "config/nturgbd-cross-subject/joint.yaml", {"frame_size": FRAMES}, "freqmixformer"),
    ("FreqMixFormer", "config/ucla/joint.yaml", {"frame_size": FRAMES}, "freqmixformer"),
    ("SkateFormer", "config/train/ntu_cs/SkateFormer_j.yaml", {}, "skateformer"),
    ("SkateFormer", "config/train/nw_ucla/SkateFormer_j.yaml", {}, "skateformer"),
    ("SkateFormer", "config/train/ntu_cs/SkateFormer_j_tiny.yaml", {}, "skateformer_tiny"),
    ("Hyper-GCN", "config/base/nturgbd-cross-subject/hyper_joint.yaml", {}, "hypergcn_base"),
    ("Hyper-GCN", "config/large/nturgbd-cross-subject/hyper_joint.yaml", {}, "hypergcn_large"),
    ("ST-GCN", "config/st_gcn/ntu-xsub/train.yaml", {}, "stgcn"),
    ("ST-GCN", "config/st_gcn/kinetics-skeleton/train.yaml", {}, "stgcn"),
    ("ST-GCN", "config/st_gcn.twostream/ntu-xsub/train.yaml", {}, "stgcn_twostream"),
    ("DeGCN", "config/nturgbd-cross-subject/default.yaml", {"num_stream": 1}, "degcn"),  # trunks share nothing
    ("PYSKL", "config/stgcnpp/ntu60_xsub_3dkp/j.yaml", FEW_STAGES, "stgcnpp"),
    ("PYSKL", "config/protogcn/ntu60_xsub/j.yaml", FEW_STAGES, "protogcn"),
]
