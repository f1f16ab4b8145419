"""The work of a step, the rates of a processor, and the time that follows from both."""

from __future__ import annotations

import dataclasses
import math
import time

import pytest
import torch
from torch import nn

from skeleton_lab.engine.memory.settings import Settings
from skeleton_lab.plan import calibration, steps, words, work
from skeleton_lab.plan.calibration import Rates
from skeleton_lab.plan.machine import Machine
from skeleton_lab.plan.planning import Row
from skeleton_lab.plan.work import Growth, Step, Work, Works

CPU = torch.device("cpu")
MIB = 2**20
KINDS = (*work.KINDS, "product", "convolution", "convert", "transpose", "stream")
ONE = Rates(0.0, dict.fromkeys(KINDS, (1.0, 0.0, 0.0)), ((1.0, 0.0),), 0.0, math.inf, False, 0.0)  # FLOPs alone count


class PerSample(nn.Module):
    """A product for every person of a sample, as networks do on a CPU, and layers over all of them."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.cat([torch.relu(self.first(body)) for body in x.flatten(0, 1).split(1)])
        return self.last(self.norm(x.transpose(1, 2)).mean(2)).unflatten(0, (-1, 2)).mean(1)


def counted(batch: int) -> Step:
    torch.manual_seed(0)
    return work.of_step(PerSample(), [torch.randn(batch, 2, 10, 6)], False)


def totals(step: Step) -> list[float]:
    parts = [(w.times * w.flops, w.times * w.bytes, w.times) for w in step.works]
    return [*map(sum, zip(*parts)), step.calls]


def test_a_step_of_any_batch_follows_from_those_of_one_and_two():
    grown = Growth(counted(1), counted(2))
    for batch in (1, 2, 7):
        assert totals(grown.at(batch)) == pytest.approx(totals(counted(batch)), rel=0.02)


@pytest.mark.parametrize(
    "kind, run",
    [
        ("product", lambda x: x @ x), ("convolution", lambda x: nn.functional.conv1d(x[None], x[..., None])),
        ("stream", lambda x: x.t() + x.t()), ("stream", lambda x: x.relu_()),
        ("transpose", lambda x: x.t().contiguous()),
        ("convert", lambda x: x > 0), ("sum", lambda x: x.sum(0)), ("tanh", lambda x: x.tanh_()),
        ("softmax", lambda x: x.softmax(0)), ("random", lambda x: x.bernoulli_()),
        ("gather", lambda x: x[torch.tensor([3])]),
        ("stream", lambda x: x + x[:1]),
    ],
)  # fmt: skip
def test_an_operation_is_of_the_kind_that_bounds_it(kind, run):
    with Works() as counter, torch.no_grad():
        run(torch.ones(8, 8))
    assert counter.works[-1].kind == kind


def test_what_was_touched_a_moment_ago_is_near_and_memory_is_taken_from_the_system_once():
    with Works() as counter:
        x = torch.zeros(MIB // 4)
        y = x + 1
        x.add_(1)  # since x was touched nothing was
        del y
        z = x + 1  # where y was
    add, _, again = counter.works[-3:]
    assert add.results[0][::2] == (MIB, MIB) and again.results[0][::2] == (MIB, 0), "bytes, of which new"
    assert counter.works[-2].touches == ((MIB, 0),)
    assert again.results[0][1] == 2 * MIB, "x was read and written since"
    assert len(z) == MIB // 4


def test_views_are_calls_but_no_work():
    with Works() as counter:
        torch.zeros(4).view(2, 2).t()
    assert (len(counter.works), counter.calls) == (1, 3)


def test_a_forecast_is_calls_and_the_work_at_the_rates_of_its_kind():
    rates = dataclasses.replace(
        ONE,
        call=0.5,
        kinds=ONE.kinds | {"product": (2.0, 3.0, 5.0)},
        far=((10, 0.0), (1000, 4.0)),
        fresh=7.0,
        mapped=100,
    )
    product = Work("product", 11, 13, 17, times=2)
    assert rates.seconds(Step([product], 4)) == 4 * 0.5 + 2 * (11 * 2 + 13 * 3 + 17 * 5)
    assert [rates.further(d) for d in (1, 10, 100, 1000, work.FAR)] == [0, 0, 2, 4, 4]
    reads = Work("stream", 0, 0, 0, ((3, 100),), ((10, 1000, 4), (101, 1, 0)))
    assert rates.of(reads) == 3 * 2 + (4 * 7 + 6 * 4) + 101 * 7, "large blocks are mapped anew"
    on_gpu = dataclasses.replace(rates, side_by_side=True)
    assert on_gpu.seconds(Step([product], 4)) == 2 * 146 and on_gpu.seconds(Step([product], 1000)) == 500


def test_a_step_on_the_cpu_is_scaled_by_the_rates(monkeypatch):
    net, samples = PerSample(), lambda count: (torch.randn(count, 2, 10, 6),)
    seen = []
    monkeypatch.setattr(steps, "measured", lambda model, samples, way, *_: (seen.append(way.forward) or 3.0, None))
    assert steps.on_cpu(net, samples, Settings(12, False, "32"), ONE) == (pytest.approx(3 * 6, rel=0.1), "calibrated")
    assert steps.on_cpu(net, samples, Settings(1, False, "32"), ONE) == (3.0, "measured")
    assert steps.on_cpu(net, samples, Settings(6, False, "32"), None) == (9.0, "measured") and seen == [2, 1, 2]


def test_the_page_says_what_is_calibrated():
    here = Machine("this", None, CPU, 8, 8, None)
    with_rates = dataclasses.replace(here, rates=dataclasses.replace(ONE, took=6.0))
    assert not any("calibrated" in line for line in words.sources(here))
    assert any("calibrated" in line and "6 s" in line for line in words.sources(with_rates))
    row = Row("A", "a.yaml", 1, 1, True, "", True, 1.0, "forecast", 1.0, 1.0, "measured", 1.0)
    assert words.origin([row, dataclasses.replace(row, time_from="calibrated")]) == (
        "forecast",
        "calibrated or measured",
    )


def test_rates_are_fitted_without_negative_ones(monkeypatch):
    times = {"a": 4.0, "b": 8.0, "c": 12.0}  # 2 a FLOP, 0 a byte
    works = {"a": Work("product", 2, 9, 1), "b": Work("product", 4, 1, 1), "c": Work("product", 6, 5, 1)}
    monkeypatch.setattr(calibration, "_work", works.get)
    assert calibration._fitted(times.get, list("abc")) == pytest.approx((2, 0, 0), abs=1e-6)


@pytest.mark.slow
def test_a_calibrated_machine_forecasts_a_network_that_it_has_not_seen():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rates = calibration.calibrate(CPU)
        net = nn.Sequential(
            nn.Conv1d(48, 160, 7), nn.BatchNorm1d(160), nn.GELU(), nn.Flatten(), nn.Linear(160 * 58, 70)
        )
        x, y = torch.randn(64, 48, 64), torch.zeros(64, dtype=torch.long)
        forecast = rates.seconds(work.of_step(net, [x], False))
        took = []
        for _ in range(6):
            began = time.thread_time()
            nn.functional.cross_entropy(net(x), y).backward()
            took.append(time.thread_time() - began)
    finally:
        torch.set_num_threads(before)
    assert 1 / 2 < forecast / min(took) < 2
    assert all(min(kind) >= 0 < max(kind) for kind in rates.kinds.values()) and rates.call > 0 and rates.took < 120
