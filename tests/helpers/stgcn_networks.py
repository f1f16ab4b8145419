"""ST-GCN, of one stream and two, as its tests build it."""

from __future__ import annotations

import replay
import torch
from parity.protocol import fill

from skeleton_lab import registry

NETWORKS = ["net.st_gcn.Model", "net.st_gcn_twostream.Model"]
NTU = {"layout": "ntu-rgb+d", "strategy": "spatial"}


def build(name: str = NETWORKS[0], **kwargs):
    usual = {"in_channels": 3, "num_class": 60, "graph_args": NTU, "edge_importance_weighting": True}
    return replay.build("ST-GCN", name, **{**usual, **kwargs})


def graph(**kwargs):
    return registry.load("ST-GCN", "net.utils.graph.Graph")(**kwargs)


def streams(model):
    return [model.origin_stream, model.motion_stream] if hasattr(model, "origin_stream") else [model]


def as_graph_variant(model):
    """The filled network with the published partition instead of a dense random one, importances around 1."""
    for stream in streams(model):
        stream.A.copy_(torch.tensor(stream.graph.A, dtype=torch.float32))
        for importance in stream.edge_importance:
            importance.data += 1
    return model


def forms(name: str, **kwargs):
    """Both forms with the same filled weights and the published partition."""
    plain = as_graph_variant(fill(build(name, fused=False, num_class=5, **kwargs)))
    fused = build(name, num_class=5, **kwargs)
    fused.load_state_dict(plain.state_dict())
    return plain, fused
