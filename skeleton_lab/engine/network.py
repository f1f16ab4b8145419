"""The one place where networks are made to be run: from a dotted name or a class, with sizes that are some, fused."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from skeleton_lab.engine import size_checks
from skeleton_lab.engine.config.options import Options
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.nn import fuse
from skeleton_lab.utils.importing import check_arguments, import_class


def check_named(options: Options) -> None:
    """UsageError if no network is named, as when --config was forgotten."""
    if not options.model:
        raise UsageError("model: no network is named; give --config with a file of config/, or the class of a network")


def make_net(options: Options) -> nn.Module:
    """The network of a run, the first consumer of random numbers after seeding.

    Raises:
        UsageError: no such class, arguments that it does not take, or no activation checkpointing in this form.
    """
    check_named(options)
    network, arguments = import_class(options.model, "model"), options.model_args
    check_arguments(arguments, "--model-args")
    size_checks.check_arguments(arguments)
    if hasattr(network, "fitted_arguments"):  # what the clips' length decides
        arguments = network.fitted_arguments(arguments, options.train_feeder_args, options.test_feeder_args)
    net = construct(network, options.model, arguments, fused=options.fused)
    if options.activation_checkpointing:
        if not options.fused:
            raise UsageError("--activation-checkpointing belongs to the fused form: leave out --fused no")
        if not hasattr(net, "activation_checkpointing"):
            raise UsageError(f"--activation-checkpointing: {options.model} does not offer it")
        net.activation_checkpointing = True
    return net


def construct(network: Any, name: str, arguments: dict[str, Any], *, fused: bool = True) -> nn.Module:
    """``network(**arguments)``, of sizes that are some; its room has to be open.

    Args:
        network: a class, or a function that returns one's object; name: how messages call it.
        fused: in the form that computes the same with less (``nn.fuse``), else as the paper prints it.

    Raises:
        UsageError: it does not take the arguments.
    """
    size_checks.check_arguments(arguments)
    try:
        net = network(**arguments)
    except LabError:
        raise
    except (TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise UsageError(f"model {name} with {arguments}: {error}") from error
    return fuse(net) if fused else net


def classes_of(options: Options, net: nn.Module) -> int | None:
    """K: what the options say, else the network's own attribute or default; None if nothing tells."""
    names = ("num_class", "num_classes")
    for name in names:
        if name in options.model_args:
            return int(options.model_args[name])
    for name in names:
        known = getattr(net, name, None)
        if known is None:
            parameter = inspect.signature(type(net)).parameters.get(name)
            known = parameter.default if parameter is not None else None
        if isinstance(known, int):
            return known
    return None
