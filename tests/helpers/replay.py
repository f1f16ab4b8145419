"""Replaying the parity fixtures: what every network's tests do with its recorded outputs.

Fixtures come in two shapes: with several inputs of one network (``inputs``), and with variants that also change the
network's arguments (``input``, ``variants``).  Both are read as cases here.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from parity.protocol import compare, fill, make_skeleton, stage_summary
from places import PARITY
from torch import Tensor, nn

from skeleton_lab import registry
from skeleton_lab.nn import fuse, is_fused, unfuse

BATCH = torch.export.Dim("batch", max=4096)  # sizes that may change in an exported network
FRAMES = torch.export.Dim("frames", min=8, max=4096)
# The exporter of the image's torch 2.3 gives up on sizes behind strided layers: there sizes are those of the example.
SIZES_MAY_CHANGE = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 5)


class Case(NamedTuple):
    prefix: str  # of its arrays in the fixture: "" for the main case, else "short/" ...
    kwargs: dict[str, Any]  # of the network
    inputs: tuple[Tensor, ...]  # x (N, C, T, V, M), and index_t (N, T) where the network takes it
    onto_start: str = ""  # last word of the parameters whose filling is added to their start values


@cache
def recorded(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a fixture's two files say; reading thousands of small arrays takes longer than many a test."""
    facts = json.loads((PARITY / f"{name}.json").read_text())
    with np.load(PARITY / f"{name}.npz") as stored:
        return facts, dict(stored)


class Fixture:
    """The recorded outputs ``name`` of a network of ``room``, which is built fused or plain."""

    def __init__(self, room: str, name: str, fused: bool = True):
        self.room, self.name, self.fused = room, name, fused
        facts, values = recorded(name)
        self.facts, self.values = copy.deepcopy(facts), {key: value.copy() for key, value in values.items()}

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        return {k[len(prefix) :]: v for k, v in self.values.items() if k.startswith(prefix)}

    def build(self, kwargs: dict[str, Any] | None = None, **changes: Any) -> nn.Module:
        """The network with the fixture's arguments, or with ``kwargs`` in place of all of them."""
        arguments = {"fused": self.fused, **(kwargs or self.facts["kwargs"]), **changes}
        return build(self.room, self.facts["model"], **arguments)

    def filled(self, case: Case, **changes: Any) -> nn.Module:
        """The network of a case with its weights."""
        model = self.build(case.kwargs, **changes)
        start = {name: p.detach().clone() for name, p in model.named_parameters()}
        fill(model)
        for name, p in model.named_parameters():
            if case.onto_start and name.rpartition(".")[2] == case.onto_start:
                p.data += start[name]
        return model

    def cases(self) -> Iterator[Case]:
        """The main case first."""
        for given in self.facts.get("inputs", {}).values():
            args = {k: v for k, v in given.items() if k not in ("maker", "npz_prefix", "after_fill", "note")}
            onto_start = re.findall(r"every parameter called (\w+)", given.get("after_fill", ""))
            yield Case(given["npz_prefix"], self.facts["kwargs"], (make_skeleton(**args),), *onto_start)
        if "input" in self.facts:
            yield Case("", self.facts["kwargs"], made(self.facts["input"]))
            for name, variant in self.facts.get("variants", {}).items():
                kwargs = variant.get("kwargs") or {**self.facts["kwargs"], **variant["kwargs_extra"]}
                yield Case(f"{name}/", kwargs, made(variant))

    def main(self) -> tuple[Tensor, ...]:
        return next(self.cases()).inputs

    def tolerance(self, what: str, default: float = 1e-4) -> float:
        stated = self.facts["tolerance"].get(what, default)
        return stated if isinstance(stated, float) else default


def made(given: dict[str, Any]) -> tuple[Tensor, ...]:
    """The inputs that a recipe of the second shape describes."""
    x = make_skeleton(**given["make_skeleton"])
    if not given.get("index_t"):
        return (x,)
    index_t = np.arange(x.shape[2], dtype=np.float32)
    scaled = re.search(r"2 \* \(i \+ (\d+)\) / (\d+) - 1", given["index_t"])
    if scaled:
        shift, frames = map(int, scaled.groups())
        index_t = (2 * (np.arange(x.shape[2]) + shift) / frames - 1).astype(np.float32)
    return x, torch.from_numpy(index_t).expand(len(x), -1)


def build(room: str, name: str, fused: bool = True, **kwargs: Any) -> nn.Module:
    with registry.room(room):
        network = registry.load(room, name)(**kwargs)
        return fuse(network) if fused else network


def logits(output: Any) -> Tensor:
    """The first of several outputs; the sum of several heads."""
    if isinstance(output, list):
        return torch.stack(output).sum(0)
    return output[0] if isinstance(output, tuple) else output


def step(
    model: nn.Module, *inputs: Tensor, loss: Callable[..., Tensor] | None = None, training: bool = True
) -> Any:  # fmt: skip
    """The output of a forward, after the backward of its cross entropy (or of ``loss(output)``)."""
    model.zero_grad()
    output = model.train(training)(*inputs)
    value = loss(output) if loss else F.cross_entropy(logits(output), labels(logits(output)))
    value.backward()
    return output


def labels(y: Tensor) -> Tensor:
    """The labels of all fixtures: sample number modulo the number of classes."""
    return torch.arange(len(y)) % y.shape[1]


# --- checks --------------------------------------------------------------------------------------------------------


def check_names(fixture: Fixture) -> None:
    """Names, shapes, types and order of the state; number of parameters."""
    model, facts = fixture.build(), fixture.facts
    state = {k: {"shape": list(v.shape), "dtype": str(v.dtype)[6:]} for k, v in model.state_dict().items()}
    expected = facts["state_dict"]
    if not isinstance(expected, dict):
        expected = {entry["name"]: entry for entry in expected}
    assert list(state) == list(expected)
    for name, entry in expected.items():
        assert state[name] == {k: entry[k] for k in ("shape", "dtype")}, name
    if "parameters" in facts:
        assert [name for name, p in model.named_parameters() if p.requires_grad] == list(facts["parameters"])
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == facts["trainable_parameters"]


def check_eval(fixture: Fixture, prepare: Callable[[nn.Module], Any] = lambda model: None) -> None:
    """Logits of the filled network in eval mode, for every case; ``prepare(model)`` may set switches."""
    for case in fixture.cases():
        if case.prefix + "eval_logits" in fixture.values:
            model = fixture.filled(case).eval()
            prepare(model)
            with torch.no_grad():
                output = model(*case.inputs)
            compare(logits(output), fixture.values[case.prefix + "eval_logits"], fixture.tolerance("eval_logits"))
            for i, head in enumerate(output if isinstance(output, list) else []):
                compare(head, fixture.values[f"{case.prefix}eval_head/{i}"], fixture.tolerance("eval_head"))


def check_step(
    fixture: Fixture, prepare: Callable[[nn.Module], Any] = lambda model: None,
    loss: Callable[..., Tensor] = lambda output: F.cross_entropy(logits(output), labels(logits(output))),
    **gradients: Any,
) -> nn.Module:  # fmt: skip
    """Logits and loss of a training forward for every case; buffers and gradients of the main one, which is returned.

    ``gradients``: the arguments of ``check_gradients``.
    """
    checked = None
    for case in fixture.cases():
        prefix = case.prefix
        if prefix + "train_logits" not in fixture.values:
            continue
        model = fixture.filled(case, **fixture.facts.get("kwargs_override", {}))
        prepare(model)
        if prefix and not case.onto_start:  # nothing of the way back is recorded
            output = model.train()(*case.inputs)
        else:
            output = step(model, *case.inputs, loss=loss)
        compare(logits(output), fixture.values[prefix + "train_logits"], fixture.tolerance("train_logits"))
        if prefix + "train_loss" in fixture.values:
            compare(loss(output), fixture.values[prefix + "train_loss"], fixture.tolerance("train_loss"))
        if not prefix:
            check_buffers(model, fixture)
            check_gradients(model, fixture, **gradients)
            checked = model
        elif case.onto_start:
            check_gradients(model, fixture, **gradients, group=f"{prefix}grad_norm/")
    return checked


def check_buffers(model: nn.Module, fixture: Fixture) -> None:
    """Running statistics after one training forward of the main case."""
    state, expected = model.state_dict(), fixture.group("buffer_after/")
    for name, value in expected.items():
        compare(state[name], value, fixture.tolerance("buffer_after"))
    counts = {v.item() for k, v in state.items() if k.endswith("num_batches_tracked")}
    assert counts <= {0, 1}, "running statistics moved more than once"  # 0: norms that the network never calls
    if "eval_logits_after_one_train_forward" in fixture.values:
        with torch.no_grad():
            y = logits(copy.deepcopy(model).eval()(*fixture.main()))
        what = "eval_logits_after_one_train_forward"
        compare(y, fixture.values[what], fixture.tolerance(what))
    else:
        assert expected


def check_gradients(
    model: nn.Module, fixture: Fixture, relative: float = 1e-2, floor: float = 2e-6, single: float = 1e-1,
    special: Callable[[str], float | None] = lambda name: None, group: str = "grad_norm/",
) -> None:  # fmt: skip
    """Norm of every gradient within ``relative * expected + floor * largest`` (the fixture's ``tolerance.grad_norm``).

    ``single`` replaces ``relative`` for one-element parameters, ``special(name)`` for the names it knows.
    """
    expected = fixture.group(group)
    largest = max(float(v) for v in expected.values())
    without = set(fixture.facts.get("parameters_without_gradient", fixture.facts.get("no_gradient_parameters", [])))
    for name, parameter in model.named_parameters():
        if name in without or not parameter.requires_grad:
            assert parameter.grad is None, name
        elif name in expected:
            share = special(name) or (single if parameter.numel() == 1 else relative)
            norm, target = parameter.grad.double().norm().item(), float(expected[name])
            assert abs(norm - target) <= share * target + floor * largest, f"{name}: {norm}, expected {target}"
    for name in fixture.facts.get("zero_gradient_parameters", []) if group == "grad_norm/" else []:
        gradient = model.get_parameter(name).grad
        assert gradient is not None, name
        most = 0.0 if is_fused(model) else floor * largest  # plainly computed, zero is what rounding leaves of it
        assert gradient.double().norm() <= most, name


def check_stages(
    fixture: Fixture, inner: Callable[..., Tensor | None] = lambda model, name, given: None,
    prepare: Callable[[nn.Module], Any] = lambda model: None,
) -> int:  # fmt: skip
    """Every stored stage: seen by a hook, or ``inner(model, name, given)``: None leaves a stage out.

    ``given`` maps the names of modules that were called to their first input. Returns how many stages were compared;
    they tell where two networks part.
    """
    compared = 0
    for case in fixture.cases():
        prefix, stored = case.prefix, fixture.group(case.prefix + "stage/")
        if not stored:
            continue
        model = fixture.filled(case).eval()
        prepare(model)
        given, seen = watched(model)
        with torch.no_grad():
            model(*case.inputs)
            for name, summary in stored.items():
                output = seen[name] if name in seen else inner(model, name, given)
                if output is None:
                    continue
                if not prefix and name in fixture.facts.get("stage_shapes", {}):
                    assert list(output.shape) == fixture.facts["stage_shapes"][name], name
                compare(torch.from_numpy(stage_summary(output)), summary, fixture.tolerance("stage"))
                compared += 1
    return compared


def watched(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The first input and the first output of every module that ``model`` calls from now on, by name."""
    given, seen = {}, {}
    for name, module in model.named_modules():

        def remember(module, args, output, name=name):
            given[name], seen[name] = args[0], logits(output)

        module.register_forward_hook(remember)
    return given, seen


def check_init(fixture: Fixture, sigmas: float = 6.0, group: str = "init/", model: nn.Module | None = None) -> None:
    """Mean and standard deviation of every freshly drawn parameter, within ``sigmas`` standard errors.

    Parameters of fewer than 64 values are compared only where the law is a constant.
    """
    torch.manual_seed(1)
    model = model or fixture.build()
    stored = fixture.group(group)
    assert stored
    for name, (mean, std) in stored.items():
        p = model.get_parameter(name).detach().double()
        if std == 0:
            assert p.std(correction=0) == 0 and abs(p.mean().item() - mean) <= 1e-12, name
        elif p.numel() >= 64:
            error = sigmas * float(std) / math.sqrt(p.numel())
            assert abs(p.mean().item() - mean) <= 2 * error, f"{name}: mean {p.mean()}, expected {mean}"
            assert abs(p.std().item() - std) <= 2 * error, f"{name}: std {p.std()}, expected {std}"


# --- the two forms of a network ------------------------------------------------------------------------------------


def check_forms(
    plain: nn.Module, fused: nn.Module, *inputs: Tensor, relative: float = 1e-5,
    loss: Callable[..., Tensor] | None = None, seed: int = 0, training: bool = True,
) -> float:  # fmt: skip
    """A step of both forms, in training or in eval mode, in float64, with the same random draws.

    Logits, buffers and gradients are equal.

    A gradient may differ by ``relative`` of its largest entry, plus rounding at the scale of the largest gradient of
    the network (a bias before a batch norm has a gradient of zero: plainly computed, of rounding alone).

    Returns:
        The worst relative difference of a gradient.
    """
    assert is_fused(fused) and not is_fused(plain)
    outputs = []
    for model in (plain.double(), fused.double()):
        torch.manual_seed(seed)
        outputs.append(logits(step(model, *(t.double() for t in inputs), loss=loss, training=training)))
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-9, atol=1e-9)
    expected = {name: p.grad for name, p in plain.named_parameters()}
    largest = max(grad.abs().max().item() for grad in expected.values() if grad is not None and grad.numel())
    worst = 0.0
    for name, parameter in fused.named_parameters():
        grad, target = parameter.grad, expected.pop(name)
        assert (grad is None) == (target is None), name
        if grad is None or grad.numel() == 0:
            continue
        difference, size = (grad - target).abs().max().item(), target.abs().max().item()
        assert difference <= relative * size + 1e-12 * largest, f"{name}: {difference} of {size}"
        if size > 1e-9 * largest:
            worst = max(worst, difference / size)
    assert not expected
    for (name, a), b in zip(fused.named_buffers(), plain.buffers()):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=name)
    return worst


def check_change_of_form(build: Callable[[bool], nn.Module], *inputs: Tensor) -> None:
    """``build(fused)`` twice: same draws, same state, same eval logits; and the fused network becomes the plain one."""
    networks = []
    for fused in (False, True):
        torch.manual_seed(3)
        networks.append(build(fused).eval())
    plain, fused = networks
    with torch.no_grad():
        y = logits(plain(*inputs))
        torch.testing.assert_close(logits(fused(*inputs)), y, rtol=1e-4, atol=1e-5)
        assert is_fused(fused) and not is_fused(unfuse(fused))
        assert torch.equal(logits(fused(*inputs)), y)
    assert [type(module) for module in fused.modules()] == [type(module) for module in plain.modules()]
    for (name, a), (other, b) in zip(fused.state_dict().items(), plain.state_dict().items()):
        assert name == other and torch.equal(a, b), name


def check_autograd_alone(plain: nn.Module, *inputs: Tensor) -> None:
    """No hand-written backward takes part in a training step of the plain form."""
    seen, todo = set(), [logits(plain.train()(*inputs)).grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        assert not isinstance(node, torch.autograd.function.BackwardCFunction), node.name()
        todo += [following for following, _ in node.next_functions]
    assert len(seen) > 2, "nothing was learned"


def check_export(
    plain: nn.Module, inputs: tuple[Tensor, ...], other: tuple[Tensor, ...] = (),
    dynamic: Sequence[dict[int, Any] | None] | None = None,
) -> torch.export.ExportedProgram:  # fmt: skip
    """``torch.export`` of the plain form in eval mode: the exported program gives equal logits.

    Args:
        inputs: exported with.
        other: inputs of other sizes, where ``dynamic`` allows; also compared.
        dynamic: for every input, which dimensions may change: ``[{0: BATCH, 2: FRAMES}]``; None: none.
    """
    assert not is_fused(plain)
    plain.eval()
    if not SIZES_MAY_CHANGE:
        dynamic, other = None, ()
    exported = torch.export.export(plain, inputs, dynamic_shapes=dynamic and tuple(dynamic), strict=False)
    run = exported.module()
    with torch.no_grad():
        for given in (inputs, other) if other else (inputs,):
            torch.testing.assert_close(logits(run(*given)), logits(plain(*given)), rtol=1e-5, atol=1e-5)
    return exported
