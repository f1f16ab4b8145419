"""Stages 1 and 2: cycles of alignment, each followed by a fresh classifier and the test of unseen classes."""

from __future__ import annotations

import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.data.archives.class_splits import Split
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.nn import fuse
from skeleton_lab.utils.progress import clip_bar
from skeleton_lab.zero_shot.align import checkpoint
from skeleton_lab.zero_shot.align import classifier as unseen_classifier
from skeleton_lab.zero_shot.align.baselines import Baseline
from skeleton_lab.zero_shot.align.batches import Drawer, Draws
from skeleton_lab.zero_shot.align.classifier import Score
from skeleton_lab.zero_shot.align.loss_weights import schedule
from skeleton_lab.zero_shot.align.selection import BEST, LAST, selected_on
from skeleton_lab.zero_shot.align.settings import METRICS, Settings, save_json
from skeleton_lab.zero_shot.features import feature_folder
from skeleton_lab.zero_shot.features.feature_folder import Features
from skeleton_lab.zero_shot.model.fused.packed import Packed
from skeleton_lab.zero_shot.model.fused.step import Batch, Step
from skeleton_lab.zero_shot.model.vae import MLP
from skeleton_lab.zero_shot.model.variants import build

EVALUATION = "evaluation.npz"
SHOWN = 3000  # latents kept for the picture of the shared space


class Trainer:
    """One run: data on the device, networks, optimizer, and what its cycles brought.

    Args:
        features, table: of ``feature_folder.read`` and ``feature_folder.class_table``.
        folder: where files are written; it exists.
        validated: with ``select`` "val" in phase train, the cycle that phase val found best.
        baselines: of ``baselines.compute``, for ``train.json``.
    """

    def __init__(
        self,
        settings: Settings,
        split: Split,
        features: Features,
        table: np.ndarray,
        folder: Path,
        device: torch.device,
        validated: int | None = None,
        baselines: dict[str, Baseline] | None = None,
    ):
        torch.manual_seed(settings.seed)
        self.validated, self.baselines = validated, baselines or {}
        self.settings, self.split, self.features, self.folder, self.device = settings, split, features, folder, device
        networks = build(settings.objective.variant, features.width, table.shape[1], settings.latent)
        self.networks = fuse(networks).to(device)
        self.packed = Packed(self.networks)
        self.step = Step(self.packed, settings.objective)
        permuted = settings.objective.variant == "fsvae"
        self.drawer = Drawer(len(features.train.labels), published=settings.published_rng, permuted=permuted)
        self.data = _Resident(features, table, split, self.drawer.batch, device)
        self.data.transform(self.networks)
        self.done = 0  # cycles
        self.history: list[dict[str, Any]] = []  # of those whose figures are known
        self.random: dict[int, Tensor] = {}  # state of the generator behind each finished epoch
        self.sequences = {
            "ztest": feature_folder.checksum(features.ztest),
            feature_folder.SECOND[settings.phase]: feature_folder.checksum(features.second),
        }
        self.fingerprint = {
            **settings.as_json(), "data": _checksum(features, table), "unseen_classes": split.unseen.tolist(),
            "sequences": self.sequences,
        }  # fmt: skip
        if validated is not None:
            self.fingerprint["validated_cycle"] = validated

    def epoch_behind(self, cycle: int) -> int:
        """The number of the last epoch (step) of a cycle, which checkpoints carry."""
        return self.settings.cycle_length * (cycle + 1) - 1

    @property
    def best(self) -> dict[str, Any] | None:
        """The first cycle with the highest accuracy on ztest (published: above 0, or nothing is saved)."""
        improved = [entry for entry in self.history if entry["improved"]]
        return improved[-1] if improved else None

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The cycle that was saved, by ``settings.select``; None before there is one."""
        kept = [entry for entry in self.history if self._is_chosen(entry)]
        return kept[-1] if kept else None

    def _is_chosen(self, entry: dict[str, Any]) -> bool:
        if self.validated is not None:
            return entry["cycle"] == self.validated
        return entry["improved"] or self.settings.select == LAST

    def run(self, cycles: int, *, show: bool = True) -> None:
        """Train from where the run stands to ``cycles`` cycles, with files and lines of output as published."""
        with clip_bar(cycles * self.settings.cycle_length, "training", show=show, unit=" steps") as bar:
            bar.update(self.done * self.settings.cycle_length)
            for cycle in range(self.done, cycles):
                self.cycle(cycle, bar)
        self.write_metrics(finished=True)

    def cycle(self, cycle: int, bar=None) -> None:
        """The steps of a cycle, checkpoints, classifier, selection, side file."""
        start = time.perf_counter()
        losses = self.steps(cycle, bar)
        seconds = time.perf_counter() - start
        epoch = self.epoch_behind(cycle)
        if self.settings.phase == "train":
            checkpoint.save_networks(self.folder, self.packed, epoch)
        classifier = unseen_classifier.fit(self.networks["te"], self.data.unseen_texts)
        score = self.score(classifier)
        improved = self.best is None or score.accuracy > self.best["zsl_accuracy"]
        self.drawer.after_pass(3 if improved and score.accuracy and self.settings.phase == "val" else 2)
        self.history.append({
            "cycle": cycle, "epoch": epoch, "zsl_accuracy": score.accuracy, "improved": improved,
            "loss": losses.mean().item(), "last_loss": losses[-1].item(), "seconds": seconds,
            "steps_per_second": len(losses) / seconds,
        })  # fmt: skip
        if self._is_chosen(self.history[-1]):
            self.save_chosen(classifier, score, self.history[-1])
        self.done = cycle + 1
        self.random[epoch] = torch.get_rng_state()
        self.save_side()
        self.write_metrics(finished=False)

    def steps(self, cycle: int, bar=None) -> Tensor:
        """The optimizer steps of a cycle; returns their losses (cycle_length,) on the CPU.

        Raises:
            LabError: a loss is not finite.
        """
        settings, losses = self.settings, []
        for drawn in self.drawer.cycle(settings.cycle_length, self.device):
            for place in range(len(drawn.index)):
                weights = schedule(cycle, settings.cycle_length, len(losses))
                batch = self.data.batch(drawn, place)
                losses.append(self.step(batch, weights)["loss"])
                self.packed.optimizer.step()
            if bar is not None:
                bar.update(len(drawn.index))
        found = torch.stack(losses).cpu()
        if not found.isfinite().all():
            step = int((~found.isfinite()).nonzero()[0])
            raise LabError(
                f"the loss is no longer finite at step {step} of cycle {cycle}; are the features far from the scale of "
                "1, or --alpha times --lmd very large?"
            )
        return found

    def score(self, classifier: MLP) -> Score:
        return unseen_classifier.score(self.networks["se"], classifier, self.data.ztest, self.data.ztest_columns)

    def save_chosen(self, classifier: MLP, score: Score, entry: dict[str, Any]) -> None:
        """Classifier, scores of the phase, and what a report shows; the published lines."""
        checkpoint.save_classifier(self.folder, classifier, entry["epoch"])
        stem = f"MSF_{self.settings.unseen}_r"
        if self.settings.phase == "train":
            checkpoint.save_array(self.folder / f"{stem}_gzsl_zs.npy", self.scores(classifier, self.data.second))
        else:
            checkpoint.save_array(self.folder / f"{stem}_unseen_zs.npy", self.scores(classifier, self.data.ztest))
            checkpoint.save_array(self.folder / f"{stem}_seen_zs.npy", self.scores(classifier, self.data.second))
        self._save_evaluation(score)
        print("-" * 21)
        increased = "increased to " if self.settings.select == BEST else ""
        print(f"zsl_accuracy {increased}{100 * score.accuracy:.2f}% on cycle  {entry['cycle']}")
        print("checkpoint saved", flush=True)

    def scores(self, classifier: MLP, features: Tensor) -> np.ndarray:
        """(N, S) float32 probabilities of the unseen classes."""
        return unseen_classifier.probabilities(self.networks["se"], classifier, features).cpu().numpy()

    @torch.no_grad()
    def _save_evaluation(self, score: Score) -> None:
        labels = self.features.ztest.labels
        shown = np.unique(np.linspace(0, len(labels) - 1, min(SHOWN, len(labels))).astype(int))
        latents = self.networks["se"].mean(self.data.ztest[torch.from_numpy(shown).to(self.device)])
        anchors = self.networks["te"](self.data.unseen_texts)[0]
        content = {
            "labels": labels, "pred": self.split.unseen[score.columns.cpu().numpy()], "unseen": self.split.unseen,
            "latents": latents.cpu().numpy(), "latent_labels": labels[shown], "anchors": anchors.cpu().numpy(),
        }  # fmt: skip
        checkpoint.write_atomically(self.folder / EVALUATION, lambda file: np.savez_compressed(file, **content))

    def save_side(self) -> None:
        checkpoint.save_side(self.folder, {
            "fingerprint": self.fingerprint, "networks": checkpoint.weights_of(self.networks),
            "optimizer": self.packed.state(), "random": self.random, "done": self.done,
            "history": self.history,
        })  # fmt: skip

    def resume(self) -> bool:
        """Take up the run where its last whole cycle ended, weights, Adam and random state; False: nothing to take up.

        Raises:
            UsageError: the folder holds a run with other settings or data.
        """
        side = checkpoint.load_side(self.folder)
        if side is None:
            return False
        earlier = self._fingerprint_of(side)
        for key, value in self.fingerprint.items():
            if earlier.get(key) != value:
                was = earlier.get(key)
                raise UsageError(
                    f"--resume: {self.folder / checkpoint.SIDE} was made with {key} {was}, now it is {value}; "
                    "give the same settings and data, or start over without --resume"
                )
        self.networks.load_state_dict(side["networks"])
        checkpoint.restore_optimizer(self.packed, side["optimizer"], self.folder / checkpoint.SIDE)
        self.done, self.history, self.random = side["done"], side["history"], side["random"]
        torch.set_rng_state(self.random[self.epoch_behind(self.done - 1)])
        return True

    def _fingerprint_of(self, side: dict[str, Any]) -> dict[str, Any]:
        """Of an earlier run; what runs did not tell once counts as equal."""
        late = {"select": BEST, "unseen_classes": self.split.unseen.tolist(), "sequences": self.sequences}
        return {**late, **side.get("fingerprint", {})}

    def load_epoch(self, epoch: int) -> list[str]:
        """Go on behind an epoch that was saved: ``--load_epoch``. Returns what could not be restored."""
        state = checkpoint.load_networks(self.folder, self.networks, epoch)
        self.data.transform(self.networks)
        lost = []
        if state is None:
            lost.append("the checkpoint holds no state of Adam, which starts afresh")
        else:
            checkpoint.restore_optimizer(self.packed, state, self.folder / f"se_{epoch}.pth.tar")
        side = checkpoint.load_side(self.folder) or {}
        if self._fingerprint_of(side) == self.fingerprint and epoch in side.get("random", {}):
            self.history = [entry for entry in side["history"] if entry["epoch"] <= epoch]
            if (
                checkpoint.classifier_epoch(self.folder) or 0
            ) > epoch:  # what is saved is of a cycle that is done again
                self.history = []
            self.random = {key: value for key, value in side["random"].items() if key <= epoch}
            torch.set_rng_state(self.random[epoch])
        else:
            lost.append("the random state behind that epoch is not known: draws start at --seed")
        return lost

    def write_metrics(self, *, finished: bool) -> None:
        """``train.json``: accuracy of the saved, the best and the last cycle, every cycle, baselines, settings."""
        chosen, best = self.chosen or {}, self.best or {}
        last = self.history[-1] if self.history else {}
        save_json(self.folder / METRICS, {
            "program": "train", **self.settings.as_json(), "finished": finished, "device": str(self.device),
            "zsl_accuracy": chosen.get("zsl_accuracy"), "selected_cycle": chosen.get("cycle"),
            "selected_on": selected_on(self.settings.select, self.settings.phase),
            "best_zsl_accuracy": best.get("zsl_accuracy"), "best_cycle": best.get("cycle"),
            "last_zsl_accuracy": last.get("zsl_accuracy"), "last_cycle": last.get("cycle"),
            "train_samples": len(self.features.train.labels), "ztest_samples": len(self.features.ztest.labels),
            "unseen_classes": self.split.unseen.tolist(), "cycles": self.history, "sequences": self.sequences,
            "baselines": {
                name: {"zsl_accuracy": found.accuracy(self.features), **found.made}
                for name, found in self.baselines.items()
            },
        })  # fmt: skip


class _Resident:
    """The data on the device; what the frequency modules do first with constant data is done once."""

    def __init__(self, features: Features, table: np.ndarray, split: Split, batch: int, device: torch.device):
        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        self.train, self.targets = put(features.train.features), put(features.train.labels)
        self.ztest, self.ztest_columns = put(features.ztest.features), put(_columns(features.ztest.labels, split))
        self.second = put(features.second.features)
        self.table = put(table)
        self.unseen_texts = self.table[put(split.unseen)]
        self.trained = self.class_rows = None
        trained = np.unique(features.train.labels)
        # encoding every class once is then less than a row per sample; a GPU would add rows up in any order
        if len(trained) <= batch and device.type == "cpu":
            self.trained = put(trained)
            self.class_rows = put(np.searchsorted(trained, features.train.labels))

    def transform(self, networks: nn.ModuleDict) -> None:
        """What the encoders take instead of the data; once, unless their control values change."""
        self.spectrum = networks["se"].spectrum(self.train)
        texts = self.table if self.trained is None else self.table[self.trained]
        self.text_spectrum = networks["te"].spectrum(texts)

    def batch(self, drawn: Draws, place: int) -> Batch:
        index = drawn.index[place]
        classes = self.targets.index_select(0, index)
        rows, texts = None, self.text_spectrum
        if self.class_rows is not None:
            rows = self.class_rows.index_select(0, index)
        else:
            texts = texts.index_select(0, classes)
        return Batch(
            s=self.train.index_select(0, index), t=self.table.index_select(0, classes),
            s_spectrum=self.spectrum.index_select(0, index), t_spectrum=texts, rows=rows,
            eps=drawn.eps[place], permutation=drawn.permutation[place],
        )  # fmt: skip


def _columns(labels: np.ndarray, split: Split) -> np.ndarray:
    """Columns of the classifier for unseen classes (N,)."""
    return np.searchsorted(split.unseen, labels)


def _checksum(features: Features, table: np.ndarray) -> int:
    """Of all that training reads."""
    total = 0
    for part in (features.train.features, features.train.labels, features.ztest.features, features.ztest.labels, table):
        total = zlib.crc32(np.ascontiguousarray(part), total)
    return total
