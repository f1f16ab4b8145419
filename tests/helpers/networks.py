"""Every supervised network that differs from the others, by the configuration that has it."""

from __future__ import annotations

FRAMES = 16

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
    ("DeGCN", "config/nturgbd-cross-subject/default.yaml", {}, "degcn"),
    ("PYSKL", "config/stgcnpp/ntu60_xsub_3dkp/j.yaml", {}, "stgcnpp"),
    ("PYSKL", "config/protogcn/ntu60_xsub/j.yaml", {}, "protogcn"),
]
