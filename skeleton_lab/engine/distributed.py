"""Several processes: Lightning Fabric starts them, this module is what they say to each other.

Gradients are added up by one all-reduce behind the last backward of a batch, not by hooks during it: every process
then knows beforehand whether all of them got through the batch, so running out of memory on one of them, a signal or
a save is agreed on without a deadlock.  The networks are small (under 10 million parameters): what overlapping would
win is small too.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from skeleton_lab.errors import UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(kind: str, indices: Sequence[int], precision: str) -> Fabric:
    """Fabric on the CPU or on the GPUs ``indices``: one process each, or as many as torchrun started.

    Raises:
        UsageError: torchrun started more processes than there are GPUs, or --device names more than one GPU but
            torchrun started another number of processes.
    """
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its banners
    started = int(os.environ.get("LOCAL_WORLD_SIZE", 0))
    nodes = int(os.environ.get("WORLD_SIZE", 1)) // started if started else 1
    devices: int | list[int] = max(started, 1) if kind == "cpu" else list(indices)
    if kind == "cuda" and started and len(indices) != started:
        if len(indices) > 1 or started > torch.cuda.device_count():
            raise UsageError(
                f"torchrun started {started} processes, --device names {len(indices)} GPU(s) of "
                f"{torch.cuda.device_count()}: make the numbers equal"
            )
        devices = list(range(started))
    many = started > 1 or nodes > 1 or (kind == "cuda" and len(indices) > 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `srun` command is available")  # wherever SLURM is installed
        return Fabric(
            accelerator=kind,
            devices=devices,
            num_nodes=nodes,
            strategy=_summed_gradients() if many else "auto",
            precision=precision,
        )


def set_precision(fabric: Fabric, kind: str, precision: str) -> None:
    """Mixed precision (Fabric's name) for what is set up from now on, in place of what ``make_fabric`` was given."""
    from lightning_fabric.plugins import MixedPrecision

    fabric._precision = fabric.strategy.precision = MixedPrecision(precision, kind)


def may_be_first() -> bool:
    """Before any process has been started: whether this one will be the first of the run, by what started it."""
    told = [os.environ.get(name) for name in ("RANK", "SLURM_PROCID")]
    rank = next((value for value in told if value), None)
    if rank is not None:
        return rank == "0"
    return all(os.environ.get(name) in (None, "", "0") for name in ("LOCAL_RANK", "NODE_RANK"))


def _summed_gradients() -> Any:
    """Fabric's DDP strategy without the module wrapper: ``Team.sum_gradients`` takes its place."""
    from lightning_fabric.strategies import DDPStrategy

    class SummedGradients(DDPStrategy):
        def setup_module(self, module: nn.Module) -> nn.Module:
            return module

    return SummedGradients()


class Team:
    """The processes of a run; alone, every method is the obvious no-op.

    Attributes:
        rank, world: this process and how many there are.
        device: where this process computes.
    """

    def __init__(self, rank: int, world: int, device: torch.device) -> None:
        self.rank, self.world, self.device = rank, world, device
        self.first = self.rank == 0
        # Flags are settled between the hosts: that does not wait for the GPU's queue.
        self._hosts = dist.new_group(backend="gloo") if self.world > 1 else None

    @classmethod
    def launched(cls, fabric: Fabric) -> Team:
        """Start the processes; this one's view of them."""
        fabric.launch()
        return cls(fabric.global_rank, fabric.world_size, fabric.device)

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether any process has it raised."""
        if self.world == 1:
            return list(flags)
        counts = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(counts, group=self._hosts)
        return [bool(count) for count in counts]

    def sum_gradients(self, net: nn.Module) -> None:
        if self.world == 1:
            return
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        flat = _flatten_dense_tensors(grads)
        dist.all_reduce(flat)
        for grad, total in zip(grads, _unflatten_dense_tensors(flat, grads)):
            grad.copy_(total)

    def sum(self, tensor: Tensor) -> Tensor:
        """Add ``tensor`` up over the processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def align(self, net: nn.Module, *, parameters: bool = False) -> None:
        """Give every process the buffers (and parameters) of the first, whose batch-norm statistics count."""
        if self.world == 1:
            return
        with torch.no_grad():
            for tensor in [*net.buffers(), *(net.parameters() if parameters else ())]:
                value = tensor.detach().contiguous()
                dist.broadcast(value, 0)
                tensor.copy_(value)

    def gather(self, thing: Any) -> list[Any]:
        """``thing`` of every process, by rank."""
        if self.world == 1:
            return [thing]
        things: list[Any] = [None] * self.world
        dist.all_gather_object(things, thing, group=self._hosts)
        return things

    def agree(self, thing: Any) -> Any:
        """The first process's ``thing``."""
        if self.world == 1:
            return thing
        things = [thing]
        dist.broadcast_object_list(things, 0, group=self._hosts)
        return things[0]

    def close(self) -> None:
        if self.world > 1 and dist.is_initialized():
            # torch 2.3 joins Gloo's threads with the interpreter's lock in its hand. A thread that has yet to drop the
            # tensor of its last work waits for that lock: neither would ever go on. Asleep, this process lends it.
            time.sleep(0.2)
            dist.destroy_process_group()
