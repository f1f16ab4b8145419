"""``--ema``: an exponential moving average of the weights, evaluated and saved beside them. The training ignores it.

After every optimizer step ``average <- d average + (1 - d) weights`` with ``d = min(decay, (1 + t) / (10 + t))``, t the
steps averaged so far: the random start is forgotten in short runs too (``num_updates`` of TensorFlow's
``ExponentialMovingAverage``). Averages of the steps' weights are Polyak's and Juditsky's (SIAM J. Control Optim. 1992).
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from skeleton_lab.engine.run_evaluation import measure, write_results
from skeleton_lab.engine.train_state import Best, better

if TYPE_CHECKING:
    from skeleton_lab.engine.evaluate import Evaluation
    from skeleton_lab.engine.runtime import Run

FOLDER = "ema"  # of a work dir: the same files as in it, of the averaged weights


class Average:
    """The average of a network's state; batch norm's statistics are averaged likewise. What is no finite number (the
    batches counted, masks of -inf) is copied.

    Attributes:
        updates: steps averaged so far.
        best, last: as ``TrainState`` has them, of the averaged weights.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.best: Best | None = None
        self.last: dict[str, Any] = {}
        own = net.state_dict()
        self.values = OrderedDict((name, value.detach().clone()) for name, value in own.items())
        self._moving = [k for k, value in own.items() if value.is_floating_point() and value.isfinite().all()]
        self._copied = [name for name in own if name not in set(self._moving)]

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """One step further, after the optimizer's."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        own = net.state_dict()
        torch._foreach_lerp_([self.values[k] for k in self._moving], [own[k] for k in self._moving], 1 - decay)
        for name in self._copied:
            self.values[name].copy_(own[name])
        self.updates += 1

    def weights(self) -> OrderedDict[str, Tensor]:
        """In the published format: CPU tensors, a copy."""
        return OrderedDict((name, value.to("cpu", copy=True).contiguous()) for name, value in self.values.items())

    def content(self) -> dict[str, Any]:
        """For ``last.ckpt``."""
        best = None if self.best is None else vars(self.best).copy()
        return {"updates": self.updates, "weights": self.weights(), "best": best, "last": dict(self.last)}

    def restore(self, content: Mapping[str, Any]) -> None:
        """Take over ``content()`` of an earlier process."""
        for name, value in content["weights"].items():
            self.values[name].copy_(value)
        self.updates, self.last = content["updates"], dict(content["last"])
        self.best = None if content["best"] is None else Best(**content["best"])

    def results(self) -> dict[str, Any]:
        """``best`` and ``last``, as the ``result`` event tells them."""
        best = self.best and {"epoch": self.best.epoch, "step": self.best.step, **self.best.results}
        return {"best": best, "last": self.last or None}


@contextlib.contextmanager
def standing_in(run: Run, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The run's network has ``weights`` meanwhile, in all processes those of the first; then its own, to the bit."""
    net = run.learner.net
    own = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(weights)
    try:
        run.team.align(net)
        yield
    finally:
        net.load_state_dict(own)


def evaluate_average(run: Run, number: int, *, last: bool) -> bool:
    """Evaluate the average after 1-based epoch ``number``, if there is one; whether it is better than before.

    Args:
        last: no evaluation comes after it, so what the report needs is written.
    """
    average, loaders = run.learner.average, run.loaders
    if average is None:
        return False
    with standing_in(run, average.values):
        result = measure(run, loaders.choose, f"{loaders.split} {number}/{run.options.num_epoch}, average")
    times, seconds = run.clock.evaluated
    run.clock.evaluated = times, seconds + result.seconds
    average.last = {"epoch": number, "step": run.state.step, **result.results()}
    improved = better(result.accuracy, average.best)
    if improved:
        average.best = Best(number, run.state.step, result.accuracy, result.results(), average.weights())
    run.log(f"\tAverage of the weights (--ema): {told(average.last)}")
    run.summaries.add("val", run.state.step, ema_loss=result.loss, ema_acc=result.accuracy)
    run.metrics("ema", epoch=number, split=loaders.split, seconds=result.seconds, **result.results())
    if last:
        write(run, result, loaders.choose, number, split=loaders.split)
    return improved


def finish_average(run: Run, *, test: bool) -> dict[str, Any] | None:
    """What the averaged weights came to, best and last epoch, said and returned; None without ``--ema``.

    Args:
        test: measure the best epoch's average on the test set, and with a validation split the last epoch's too.
    """
    average = run.learner.average
    if average is None or average.best is None:
        return None
    results = average.results()
    if test:
        if run.loaders.split == "val":
            with standing_in(run, average.values):
                measured = measure(run, run.loaders.test, "last average on test").results()
            results["last"] = {**results["last"], **measured}
        with standing_in(run, average.best.weights):
            result = measure(run, run.loaders.test, "best average on test")
            write(run, result, run.loaders.test, average.best.epoch)
        results["best"] = {**results["best"], **result.results()}
    for which, measured in results.items():
        run.log(f"Average of the weights (--ema), {which} epoch: epoch {measured['epoch']}, {told(measured)}")
    return results


def write(run: Run, result: Evaluation, loader: Any, epoch: int, *, split: str = "test") -> None:
    """The files of an evaluation of the average of ``epoch``, in the folder of averages."""
    folder = run.work_dir / FOLDER
    if run.team.first:
        folder.mkdir(exist_ok=True)
    name = f"epoch{epoch}_{split}_each_class_acc.csv"
    write_results(
        run, result, loader, 1, split=split, scores=True, final=True, trained=epoch, class_file=name, folder=folder
    )


def told(results: Mapping[str, Any]) -> str:
    """Accuracies and loss, as a line of the log has them."""
    tops = [f"Top{key[3:]} {100 * value:.2f}%" for key, value in results.items() if key.startswith("top")]
    return ", ".join([*tops, f"loss {results['loss']:.4f}"])


def beside(work_dir: Path, name: str) -> Path:
    """Where the average of the weights ``work_dir / name`` lies: config.yaml is in the folder above, for programs."""
    return work_dir / FOLDER / Path(name).name
