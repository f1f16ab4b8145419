"""What is planned for: a card of the table, the machine's own GPU, or its CPU."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch

from skeleton_lab.engine.memory import budget as budgets
from skeleton_lab.engine.memory.forecast import GIB
from skeleton_lab.plan import cards
from skeleton_lab.plan.calibration import Rates
from skeleton_lab.plan.cards import Card
from skeleton_lab.utils.devices import pick_device


@dataclass(frozen=True)
class Machine:
    """Where training would run.

    Attributes:
        card: its sheet; None: a device of this machine, on which steps are measured.
        device: that device.  memory: GiB that it has.  budget: GiB to spend.
        half: the mixed precision that pays; None: none does.
        rates: of that device, if it has been calibrated.
    """

    name: str
    card: Card | None
    device: torch.device
    memory: float
    budget: float
    half: str | None
    rates: Rates | None = None


def find(card: str | None, device: str, budget: float | None) -> Machine:
    """By the flags of the plan.

    Raises:
        UsageError: an unknown card.
    """
    if card is not None:
        sheet = cards.find(card)
        half = ("bf16-mixed" if sheet.bf16 else "16-mixed") if sheet.half else None
        return Machine(sheet.name, sheet, torch.device("cpu"), sheet.memory, budget or sheet.budget, half)
    found = pick_device(device)
    if found.type == "cuda":
        total = torch.cuda.mem_get_info(found)[1]
        name = torch.cuda.get_device_name(found)
        return Machine(name, None, found, total / GIB, budget or budgets.free(found) / GIB, budgets.half(found))
    name = f"the CPU, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}"
    total = psutil.virtual_memory().total
    return Machine(name, None, found, total / GIB, budget or budgets.free(found) / GIB, None)
