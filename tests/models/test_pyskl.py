"""ST-GCN++ and ProtoGCN: the published fixtures on the plain and on the fused form, and ProtoGCN's loss."""

from __future__ import annotations

import numpy as np
import pytest
import replay
import torch
import torch.nn.functional as F
from parity.protocol import compare, fill, stage_summary, values
from pyskl_networks import MEMORY, NAMES, Fixture, clips, small
from torch import nn

from skeleton_lab.engine import last_checkpoint
from skeleton_lab.engine.losses import Criterion


@pytest.fixture(scope="module", params=NAMES)
def plain(request):
    return Fixture("PYSKL", request.param, fused=False)


@pytest.fixture(scope="module", params=["plain", "fused"])
def fixture(request, plain):
    return Fixture("PYSKL", plain.name, fused=request.param == "fused")


# --- the published numbers ---------------------------------------------------------------------------------------


def test_names_shapes_and_order(plain):
    replay.check_names(plain)


@pytest.mark.slow
def test_eval_logits(fixture):
    replay.check_eval(fixture)


@pytest.mark.slow
def test_training_step(fixture):
    """In single precision alpha and beta, sums of many terms that cancel, agree within a half, as the fixture says."""
    replay.check_step(
        fixture, relative=2e-2, floor=1e-4, special=lambda name: 0.5 if name.endswith((".alpha", ".beta")) else None
    )


@pytest.mark.slow
def test_stages(plain):
    prototypes = plain.values.pop("stage/backbone.prn", None)  # of the first sample of a batch
    assert replay.check_stages(plain) >= len(plain.facts["stage_shapes"]) - (prototypes is not None)
    if prototypes is not None:
        model = fill(plain.build()).eval()
        _, seen = replay.watched(model)
        with torch.no_grad():
            model(*plain.main())
        compare(torch.from_numpy(stage_summary(seen["backbone.prn"][0])), prototypes, 1e-4)


@pytest.mark.slow
def test_calibrated_statistics(fixture):
    """Logits with statistics that fit the data, of those and of other clips."""
    model = fill(fixture.build()).eval()
    stored = fixture.group("calibrated/")
    model.load_state_dict(
        {name[7:]: torch.from_numpy(value) for name, value in stored.items() if name.startswith("buffer/")},
        strict=False,
    )
    recipe = fixture.facts["inputs"]["main"]
    other = {**recipe, "seed": recipe["seed"] + 1}
    with torch.no_grad():
        for given, key in ((recipe, "eval_logits"), (other, "other_eval_logits")):
            compare(model(clips(**given)), stored[key], 1e-4)


def test_initialisation(plain):
    np.random.seed(1)
    replay.check_init(plain)


def test_initialisation_by_law(plain):
    model = plain.build()
    for name, law in plain.facts["init_law"].items():
        parameter = model.get_parameter(name).detach()
        if "copy" in law or "copied" in law:
            np.testing.assert_allclose(parameter, model.backbone.graph.A, atol=1e-7)
        elif law == "zero":
            assert not parameter.any(), name
        else:
            assert parameter.std().item() == pytest.approx(0.01, rel=0.1)


# --- ProtoGCN's loss ---------------------------------------------------------------------------------------------


def with_memory(form: str, dtype: torch.dtype = torch.float64) -> tuple[Fixture, nn.Module]:
    fixture = Fixture("PYSKL", "protogcn", fused=form == "fused")
    model = fill(fixture.build())
    memory = model.get_buffer(MEMORY)
    memory.copy_(torch.from_numpy(values(MEMORY, tuple(memory.shape))))
    return fixture, model.to(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "fused"])
def test_whole_loss_and_its_gradients(form):
    fixture, model = with_memory(form)
    stored, case = fixture.group("loss/"), fixture.facts["loss_case"]
    given, labels = fixture.main()[0].double(), torch.tensor(case["labels"])
    logits, graph = model.train()(given)
    compare(logits, stored["train_logits"], 1e-6)
    compare(graph, stored["train_graph"], 1e-6)
    loss = Criterion(net=model)((logits, graph), labels)
    compare(loss, stored["total"], 1e-6)
    compare((loss - F.cross_entropy(logits, labels)) / model.weight, stored["contrast"], 1e-6)
    compare(model.get_buffer(MEMORY)[:, case["memory_columns"]], stored["memory_after"], 1e-6)
    loss.backward()
    norms = {name[10:]: float(value) for name, value in stored.items() if name.startswith("grad_norm/")}
    largest = max(norms.values())
    assert {name for name, _ in model.named_parameters()} == set(norms)
    for name, expected in norms.items():
        found = model.get_parameter(name).grad.norm().item()
        assert abs(found - expected) <= 1e-6 * (expected + 1e-3 * largest), name


def test_contrast_alone_over_two_steps():
    fixture, model = with_memory("plain")
    case, head = fixture.facts["contrast_case"], model.cls_head.csc_loss
    graph = torch.from_numpy(np.random.RandomState(11).uniform(0, 1, (6, 625)).astype(np.float32)).double()
    logits = torch.from_numpy(np.random.RandomState(12).standard_normal((6, 60)).astype(np.float32)).double()
    logits[0, 7] = logits[1, 7] = logits[2, 11] = 9
    for number in (1, 2):
        stored = fixture.group(f"contrast/{number}/")
        graph.grad = None
        model.zero_grad()
        loss = head(graph.requires_grad_(), torch.tensor(case["labels"]), logits)
        loss.backward()
        compare(loss, stored["loss"], 1e-6)
        compare(graph.grad, stored["graph_grad"], 1e-6)
        compare(head.avg_f[:, case["memory_columns"]], stored["memory"], 1e-6)
        compare(head.cl_fc.weight.grad.norm(), stored["grad_norm/cls_head.csc_loss.cl_fc.weight"], 1e-6)


def test_evaluation_neither_adds_to_the_loss_nor_moves_the_memory():
    model, x = small("protogcn").eval(), clips(3, 8, 25, 2)
    before, labels = model.get_buffer(MEMORY).clone(), torch.tensor([0, 1, 2])
    logits = model(x)
    assert Criterion(net=model)(logits, labels) == F.cross_entropy(logits, labels)
    assert torch.equal(model.get_buffer(MEMORY), before)


def test_the_memory_is_in_the_checkpoint_and_in_no_file_of_weights():
    model, other = small("protogcn"), small("protogcn")
    assert MEMORY not in model.state_dict()
    content = last_checkpoint.beyond(model)
    last_checkpoint.restore_beyond(other, content)
    assert torch.equal(other.get_buffer(MEMORY), model.get_buffer(MEMORY))
    model.get_buffer(MEMORY).zero_()
    assert other.get_buffer(MEMORY).any(), "a copy"
    assert not last_checkpoint.beyond(small("stgcnpp"))
