"""The published code's recorded outputs against both forms on the GPU, in float32, TF32 and bfloat16."""

from __future__ import annotations

import math
import sys
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.gpu_evidence.networks import arithmetics, cast, tf32
from benchmarks.gpu_evidence.schedule import ROOT, Report

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "helpers")]  # fixtures, and how they are replayed, are theirs

import replay  # noqa: E402
from parity import protocol  # noqa: E402

FIXTURES = {
    "ctrgcn": "CTR-GCN", "msg3d": "MS-G3D", "freqmixformer": "FreqMixFormer", "skateformer": "SkateFormer",
    "hypergcn_base": "Hyper-GCN", "stgcn": "ST-GCN", "ctrgcn_baseline": "CTR-GCN", "skateformer_tiny": "SkateFormer",
    "hypergcn_large": "Hyper-GCN", "stgcn_twostream": "ST-GCN",
}  # fmt: skip
Errors = dict[str, float]


def part(report: Report) -> None:
    for name in ["ctrgcn"] if report.dry else FIXTURES:
        for form in ("plain", "fused"):
            for arithmetic, (dtype, allowed) in arithmetics(report):
                if report.left <= 0:
                    return
                names = {"network": name, "form": form, "arithmetic": arithmetic}
                with report.attempt(**names), tf32(allowed):
                    fixture = replay.Fixture(FIXTURES[name], name, fused=form == "fused")
                    errors = replayed(fixture, report.device, dtype)
                    report.row(**names, **errors, **verdict(fixture, errors, arithmetic))


def verdict(fixture: replay.Fixture, errors: Errors, arithmetic: str) -> dict[str, Any]:
    """float32 has to meet the fixture's tolerances; of the others the error is told."""
    if arithmetic != "float32":
        return {"ok": all(map(math.isfinite, errors.values()))}
    return {"ok": all(errors[what] <= fixture.tolerance(what) for what in ("eval_logits", "train_logits"))}


def replayed(fixture: replay.Fixture, device: str, dtype: torch.dtype | None) -> Errors:
    """Logits in evaluation and training (largest difference over largest value), and gradients.

    ``grad_norms``: the largest difference of a parameter's gradient norm, over the largest norm in the network.
    """
    inputs = tuple(t.to(device) for t in fixture.main())
    net = protocol.fill(fixture.build(**fixture.facts.get("kwargs_override", {}))).to(device)
    with cast(torch.device(device), dtype):
        with torch.no_grad():
            logits = replay.logits(net.eval()(*inputs)).float()
        trained = replay.logits(net.train()(*inputs)).float()
    F.cross_entropy(trained, replay.labels(trained).to(device)).backward()
    expected = {name: float(norm) for name, norm in fixture.group("grad_norm/").items()}
    norms = {name: p.grad.double().norm().item() for name, p in net.named_parameters() if p.grad is not None}
    worst = max(abs(norms[name] - norm) for name, norm in expected.items() if name in norms)
    return {
        "eval_logits": protocol.compare(logits, fixture.values["eval_logits"], math.inf),
        "train_logits": protocol.compare(trained, fixture.values["train_logits"], math.inf),
        "grad_norms": worst / max(expected.values()),
    }
