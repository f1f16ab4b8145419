"""Bytes that a kernel reads and writes on a GPU, from its arguments: no cache, every value once unless said here.

Source: what PyTorch's CUDA code does (aten/src/ATen/native), where it differs from the operation's signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten

OVERWRITES = {"copy_", "zero_", "fill_", "bernoulli_", "normal_", "uniform_", "random_"}  # nothing of it is read
GATHERS = {"index", "index_select", "gather", "embedding", "take"}  # read of their first argument what they return
ACCUMULATES = {"addmm", "baddbmm", "addbmm", "addmv", "addmm_", "baddbmm_", "addbmm_", "addmv_"}


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


def moved(func: Any, args: tuple, kwargs: dict[str, Any], result: Any) -> int:
    """Bytes that ``result = func(*args, **kwargs)`` reads and writes.

    Memory that two arguments share is read once; a result in an argument's memory is written there.
    """
    name = func._schema.name.split("::")[1]
    given = dict(named_arguments(func, args, kwargs))
    changed = tensors([given[a.name] for a in func._schema.arguments if is_written(a) and a.name in given])
    written = changed + [t for t in tensors(result) if not any(t is other for other in changed)]
    first = func._schema.arguments[0].name if func._schema.arguments else ""
    outs = {a.name for a in func._schema.arguments if a.kwarg_only and is_written(a)}  # memory that is only filled
    read = {name_: value for name_, value in given.items() if name_ not in outs}
    if name in OVERWRITES or name.endswith("_like") or name.startswith("new_"):
        del read[first]
    if name in ACCUMULATES and given.get("beta", 1) == 0:
        del read[first]
    distinct = {place(t): real_bytes(t) for t in tensors(read)}
    total = sum(distinct.values()) + sum(map(real_bytes, written))
    if name in GATHERS:
        total -= max(0, real_bytes(given[first]) - sum(map(real_bytes, written)))
    return total + again(name, given, written)


def again(name: str, given: dict[str, Any], written: list[Tensor]) -> int:
    """Bytes that an operation moves once more than its signature tells."""
    if name == "native_batch_norm" and given["training"]:  # statistics come before the first result
        return real_bytes(given["input"])
    if name == "native_batch_norm_backward" and given["train"] and given["output_mask"][0]:  # two sums likewise
        return real_bytes(given["grad_out"]) + real_bytes(given["input"])
    if name == "convolution_backward":  # one kernel for each gradient reads what arrives
        return (sum(given["output_mask"]) - 1) * real_bytes(given["grad_output"])
    if name == "convolution" and given["bias"] is not None:  # a bias is added to the result in memory
        return 2 * real_bytes(written[0])
    if name in ("addmm", "baddbmm") and given.get("beta", 1) != 0:
        # The first argument is copied to where the product is added; cuBLAS adds a vector to a matrix itself.
        vector = name == "addmm" and given["self"].dim() == 1
        return 0 if vector else 2 * real_bytes(written[0])
    return 0


def named_arguments(func: Any, args: tuple, kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for argument, value in zip(func._schema.arguments, args):
        yield argument.name, value
    yield from kwargs.items()


def is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def place(t: Tensor) -> tuple:
    return t.untyped_storage()._cdata, t.storage_offset(), tuple(t.shape), t.stride()


def real_bytes(t: Tensor) -> int:
    """Bytes of the memory behind a tensor: dimensions that ``expand`` made have none, and windows may overlap."""
    if t.numel() == 0:
        return 0
    values, extent = 1, 1
    for size, stride in zip(t.shape, t.stride()):
        values *= size if stride else 1
        extent += (size - 1) * stride
    return min(values, extent) * t.element_size()
