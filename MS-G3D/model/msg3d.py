"""MS-G3D: disentangled multi-scale aggregation, in space and across windows of spacetime.

Liu, Zhang, Chen, Wang, Ouyang, "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition",
CVPR 2020.

Notation: N samples, M people, B = N*M bodies, C channels, T frames, V joints, W frames of a window, S scales (hop
distances).  ``bodies`` (B,) says how many equal bodies each body stands for (None: one).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from graph.scales import scales
from torch import Tensor, nn

from model.windows import NormReLUCollapse, WindowAggregate, moments
from skeleton_lab.errors import UsageError
from skeleton_lab.nn.activation_checkpoint import checkpointed
from skeleton_lab.nn.fused.batch_norm import affine, batch_norm, fold, move_statistics
from skeleton_lab.nn.fused.graph_conv import shared_aggregate
from skeleton_lab.nn.fused.merge_empty import merge_empty
from skeleton_lab.nn.fused.multi_scale_tcn import MultiScaleTemporalConv
from skeleton_lab.utils.importing import import_class

WIDTHS = (96, 192, 384)
WINDOWS = (3, 5)


class MLP(nn.Module):
    """Names of a 1x1 convolution and its norm, which run together with the aggregation before them."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(in_channels, out_channels, 1), nn.BatchNorm2d(out_channels)])


class AdaptiveScales(nn.Module):
    """sum_k (A_k + A_res_k) x W_k: fixed graphs, a learned residual mask, one matrix per scale (equation 6).

    Args:
        A: (S*J, J) float32, the normalised graphs of J joints stacked along rows.
    """

    def __init__(self, in_channels: int, out_channels: int, A: Tensor):
        super().__init__()
        self.register_buffer("A_scales", A.clone(), persistent=False)
        self.A_res = nn.Parameter(torch.empty_like(A).uniform_(-1e-6, 1e-6))
        self.mlp = MLP(len(A) // A.shape[1] * in_channels, out_channels)

    def matrices(self) -> Tensor:
        """(S, J, J), row = target."""
        A = self.A_scales + self.A_res
        return A.view(-1, A.shape[1], A.shape[1])

    def weights(self) -> Tensor:
        """(E, S, C)."""
        conv, _ = self.mlp.layers
        return conv.weight.view(conv.out_channels, len(self.A_res) // self.A_res.shape[1], -1)


class MultiScaleGraphConv(AdaptiveScales):
    """MS-GCN: (B, C, T, V) -> relu(bn(sum_k A_k x W_k)), (B, O, T, V)."""

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        conv, bn = self.mlp.layers
        W, A = self.weights().transpose(1, 2).flatten(1), self.matrices().transpose(1, 2)
        if self.training:
            y = batch_norm([bn], shared_aggregate(x, W, A), bodies, [conv.bias])
        else:
            scale, shift = fold([bn], [conv.bias])
            y = shared_aggregate(x, W * scale[:, None], A) + shift.view(-1, 1, 1)
        return F.relu(y, inplace=True)


class WindowGraphConv(AdaptiveScales):
    """The same on the graph of a window's W*V joints, in the parts that ``MSG3D`` merges with what follows."""

    def aggregate(self, x: Tensor, stride: int) -> tuple[Tensor, Tensor | None]:
        """What the norm gets: (B, C, T, V) -> h (B, W*V, T', E), None; or (B, W*V, T', S*C) and W (S*C, E), h = . @ W.

        The graphs sum over C or E channels, whichever are fewer.
        """
        A, W = self.matrices(), self.weights()
        S, I, V = len(A), A.shape[1], x.shape[3]  # noqa: E741
        A = A.view(S, I, -1, V).permute(2, 0, 1, 3)  # (W, S, i, v)
        x = x.transpose(2, 3)
        if W.shape[2] >= len(W):
            return WindowAggregate.apply(x, A.transpose(1, 2).flatten(2), W.permute(1, 2, 0), stride), None
        z = WindowAggregate.apply(x, A.flatten(1, 2), None, stride)
        return z.unflatten(1, (S, I)).permute(0, 2, 3, 1, 4).flatten(3), W.flatten(1).t()

    def norm(self, h: Tensor, project: Tensor | None, bodies: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """gamma, beta, mean and variance of the norm; in training those of the batch, and the running ones move."""
        conv, bn = self.mlp.layers
        if not self.training:
            scale, _ = fold([bn])
            return bn.weight, bn.bias + scale * conv.bias, bn.running_mean, bn.running_var
        mean, var, n = moments(h, project, bodies)
        move_statistics([bn], mean, var, n, [conv.bias])
        return *affine([bn], [conv.bias]), mean, var


class MSG3D(nn.Module):
    """A window of W frames (section 3.3): (B, C, T, V) -> (B, O, ceil(T / stride), V).

    Args:
        inner: channels E within the window.
        A: (S*W*V, W*V), the window's normalised graphs.
    """

    def __init__(self, in_channels: int, inner: int, out_channels: int, A: Tensor, window: int, stride: int):
        super().__init__()
        self.stride = stride
        # The published child "0" cuts the windows out and has no parameters.
        self.gcn3d = nn.ModuleDict({"1": WindowGraphConv(in_channels, inner, A)})
        self.out_conv = nn.Conv3d(inner, out_channels, (1, window, 1))
        self.out_bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        gcn = self.gcn3d["1"]
        h, project = gcn.aggregate(x, self.stride)
        collapse = self.out_conv.weight[:, :, 0, :, 0].permute(2, 0, 1)
        norm = gcn.norm(h, project, bodies)
        eps = gcn.mlp.layers[1].eps
        y = NormReLUCollapse.apply(h, project, *norm, bodies, eps, self.training, collapse).transpose(2, 3)
        if self.training:
            return batch_norm([self.out_bn], y, bodies, [self.out_conv.bias])
        scale, shift = fold([self.out_bn], [self.out_conv.bias])
        return y * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)


class MultiWindowMSG3D(nn.Module):
    """Windows of several lengths, summed."""

    def __init__(self, in_channels: int, inner: int, out_channels: int, A: dict[int, Tensor], stride: int):
        super().__init__()
        self.gcn3d = nn.ModuleList(
            MSG3D(in_channels, inner, out_channels, A[window], window, stride) for window in WINDOWS
        )

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        first, second = self.gcn3d
        return first(x, bodies) + second(x, bodies)


class MSTCN(MultiScaleTemporalConv):
    """MS-TCN (figure 3c) with six branches and a ReLU over their sum with the residual, unless ``act`` is False."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, act: bool = True):
        super().__init__(in_channels, out_channels, 3, stride)
        self.act = act

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        y = super().forward(x, bodies)
        return F.relu(y, inplace=True) if self.act else y


class FactorizedPath(nn.Sequential):
    """Space, then time, then time: the path beside the windows (figure 3b)."""

    def forward(self, x: Tensor, bodies: Tensor | None = None) -> Tensor:
        for unit in self:
            x = unit(x, bodies)
        return x


class Model(nn.Module):
    """MS-G3D with the published arguments: (N, C, T, V, M) -> logits (N, num_class).

    Args:
        num_point, num_person: V and M.
        num_gcn_scales, num_g3d_scales: S of the spatial graphs and of the windows.
        graph: dotted name of a class whose ``A_binary`` (V, V) is 1 at every edge.

    Attributes:
        activation_checkpointing: in training, keep only the inputs of windows and units and compute the rest again in
            backward.
        merge_empty_bodies: compute the empty bodies of a batch once; the result is the same up to rounding.
    """

    activation_checkpointing: bool = False
    merge_empty_bodies: bool = True

    def __init__(
        self, num_class: int, num_point: int, num_person: int, num_gcn_scales: int, num_g3d_scales: int, graph: str,
        in_channels: int = 3,
    ):  # fmt: skip
        super().__init__()
        self.graph = import_class(graph, "graph")()
        if self.graph.num_nodes != num_point:
            raise UsageError(f"num_point={num_point}, but {graph} has {self.graph.num_nodes} joints: make them agree")
        if min(num_gcn_scales, num_g3d_scales) < 1:
            raise UsageError(f"num_gcn_scales={num_gcn_scales}, num_g3d_scales={num_g3d_scales}: both must be positive")
        self.in_channels = in_channels
        A = torch.from_numpy(scales(self.graph.A_binary, num_gcn_scales))
        windows = {W: torch.from_numpy(scales(self.graph.A_binary, num_g3d_scales, W)) for W in WINDOWS}
        self.data_bn = nn.BatchNorm1d(num_person * in_channels * num_point)
        for i, (before, width) in enumerate(zip((in_channels, *WIDTHS), WIDTHS), start=1):
            stride, inner = (1, width) if i == 1 else (2, before)
            self.add_module(f"gcn3d{i}", MultiWindowMSG3D(before, inner, width, windows, stride))
            space = MultiScaleGraphConv(before, inner, A)
            path = FactorizedPath(space, MSTCN(inner, width, stride), MSTCN(width, width, act=False))
            self.add_module(f"sgcn{i}", path)
            self.add_module(f"tcn{i}", MSTCN(width, width))
        self.fc = nn.Linear(WIDTHS[-1], num_class)

    def forward(self, x: Tensor) -> Tensor:
        N, C, T, V, M = x.shape
        merged = merge_empty(x) if self.merge_empty_bodies and N > 1 else None
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(N, M * V * C, T))
        x = x.view(N * M, V, C, T)
        bodies = None
        if merged is not None:
            x, bodies = x[merged.kept], merged.count
        x = x.transpose(1, 2).contiguous().transpose(2, 3)  # (B, C, T, V), joint-major
        x = self.stages(x, bodies).mean((2, 3))
        if merged is not None:
            x = x[merged.owner]
        return self.fc(x.view(N, M, -1).mean(1))

    def stages(self, x: Tensor, bodies: Tensor | None) -> Tensor:
        checkpointing = self.activation_checkpointing and self.training and torch.is_grad_enabled()

        def run(module: nn.Module, x: Tensor) -> Tensor:
            return checkpointed(module, x, bodies) if checkpointing else module(x, bodies)

        for i in range(1, len(WIDTHS) + 1):
            x = F.relu(run(getattr(self, f"sgcn{i}"), x) + run(getattr(self, f"gcn3d{i}"), x), inplace=True)
            x = run(getattr(self, f"tcn{i}"), x)
        return x
