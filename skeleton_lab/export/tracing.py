"""A network becomes an ONNX graph: its plain form in evaluation mode, traced on clips.

PyTorch has two exporters. The one by ``torch.export`` takes 21 s of one core for CTR-GCN, the older one, which traces,
2 s, and tracing leaves the frames free where nothing in the network counts them. What tracing freezes (sizes that
the network turns into Python's numbers) shows when the file is compared with the network on batches of other sizes,
which the program always does.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx import symbolic_helper

from skeleton_lab.engine.losses import logits_of
from skeleton_lab.errors import UsageError, one_line
from skeleton_lab.inference.onnx_about import BATCH, FRAMES, LOGITS
from skeleton_lab.nn import unfuse
from skeleton_lab.utils.importing import optional

OPSETS = range(18, 21)  # the tracing exporter ends there
KINDS = {4: 7, 7: 11}  # int64, float64: PyTorch's number, and that of ONNX


class Answer(nn.Module):
    """Logits (N, K) of a network, the sum of its heads', on inputs that something may be done to before.

    Args:
        before: makes the network's first input of the file's; None: they are the same.
    """

    def __init__(self, net: nn.Module, before: nn.Module | None = None) -> None:
        super().__init__()
        self.net, self.before = net, before

    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        return logits_of(self.net(x if self.before is None else self.before(x), *more))


def answer(net: nn.Module, before: nn.Module | None = None) -> Answer:
    """A copy of the network on the CPU, plain, for evaluation; of its fused form nothing can be traced."""
    plain = unfuse(copy.deepcopy(net).cpu().float())
    return Answer(plain, before).eval().requires_grad_(False)


def graph(net: Answer, inputs: dict[str, Tensor], frames: Sequence[int | None], opset: int) -> Any:
    """An ``onnx.ModelProto`` whose batch is free; output ``logits`` (N, K).

    Args:
        inputs: an example by name, in the network's order, of two clips or more.
        frames: of each input the axis of its frames, which is free then; None: it is fixed.

    Raises:
        UsageError: PyTorch does not write that opset, or the network holds an operation that ONNX does not have.
    """
    onnx = optional("onnx", "onnx", "export", "export")
    free = {name: {0: BATCH} | ({} if axis is None else {axis: FRAMES}) for name, axis in zip(inputs, frames)}
    settings: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with tempfile.TemporaryDirectory() as folder, _operators(opset), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that sizes may be frozen: they are compared
        file = Path(folder) / "net.onnx"
        try:
            torch.onnx.export(
                net, tuple(inputs.values()), str(file), opset_version=opset, input_names=list(inputs),
                output_names=[LOGITS], dynamic_axes={**free, LOGITS: {0: BATCH}}, **settings,
            )  # fmt: skip
        except (ValueError, RuntimeError) as error:
            told = one_line(error)
            if "Unsupported ONNX opset" in told:
                raise UsageError(f"--opset {opset}: PyTorch {torch.__version__} cannot write it; update") from error
            raise UsageError(f"{type(net.net).__name__} cannot be written as ONNX: {told[:300]}") from error
        return onnx.load(file)


@contextlib.contextmanager
def _operators(opset: int) -> Iterator[None]:
    """Meanwhile the exporter knows operations that it lacks, or freezes; and dumps no graph on the screen."""
    for name, write in WRITTEN.items():
        torch.onnx.register_custom_op_symbolic(name, write, opset)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for name in WRITTEN:
            torch.onnx.unregister_custom_op_symbolic(name, opset)


def _cdist(g: Any, a: Any, b: Any, p: Any, mode: Any) -> Any:
    """Euclidean distances (..., P, R) of a (..., P, C) and b (..., R, C), by differences; PyTorch's freezes N."""
    axis = [g.op("Constant", value_t=torch.tensor([k])) for k in (-1, -2, -3)]
    difference = g.op("Sub", g.op("Unsqueeze", a, axis[1]), g.op("Unsqueeze", b, axis[2]))
    return g.op("ReduceL2", difference, axis[0], keepdims_i=0)


def _zeros_like(g: Any, x: Any, dtype: Any = None, *others: Any) -> Any:
    """x - x, of finite x: behind a reshape PyTorch's has the sizes of the example."""
    zeros = g.op("Sub", x, x)
    wanted = None if dtype is None else symbolic_helper._maybe_get_const(dtype, "i")
    return g.op("Cast", zeros, to_i=KINDS[wanted]) if wanted in KINDS else zeros


def _sort(g: Any, x: Any, *flags: Any) -> Any:
    """``x.sort(dim, descending)``, also with ``stable`` before them, which the exporter's own does not take.

    Of equal entries ONNX's TopK takes the first, so every one is stable.
    """
    axis, falling = (symbolic_helper._get_const(value, "i", "sort") for value in flags[-2:])
    return symbolic_helper._sort_helper(g, x, axis, falling)


# Operations that the exporter lacks or freezes
WRITTEN: dict[str, Callable[..., Any]] = {"aten::cdist": _cdist, "aten::zeros_like": _zeros_like, "aten::sort": _sort}
