"""PYSKL's data set: clips of any archive, sent through a pipeline of PYSKL's or ProtoGCN's configurations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_lab.data.archives import array_clips
from skeleton_lab.data.archives.clips import Clips
from skeleton_lab.data.archives.locate import locate
from skeleton_lab.data.archives.opening import SPLITS, open_archive
from skeleton_lab.data.archives.readers.pyskl import is_pickle, raw_layout
from skeleton_lab.data.archives.split_names import divisions
from skeleton_lab.data.feeders import base, pyskl_pipelines
from skeleton_lab.data.feeders import skeleton as skeletons
from skeleton_lab.data.feeders.image_points import without_gaps
from skeleton_lab.data.feeders.pipeline import Work
from skeleton_lab.data.feeders.pyskl_compose import Chance, Compose
from skeleton_lab.data.feeders.pyskl_frames import FormatGCNInput, UniformSample
from skeleton_lab.data.feeders.pyskl_normalise import SOURCE, PreNormalize3D
from skeleton_lab.data.feeders.pyskl_streams import GenSkeFeat
from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons.layouts import Layout
from skeleton_lab.utils.tensors import Tensor, torch

AVERAGES = ("prob", "score")
PEOPLE = 2  # that are looked at, as in the pickles that are read
WHOLE_PICTURE = (1, 1)  # of coordinates that are shares of it
FAINT = np.float32(0.02)  # the least score of a joint that was filled in: PreNormalize2D takes 0.01 for missing
CENTRED = ("kinetics", "npy")  # layouts whose shares count from the middle of the picture


class Feeder(base.Feeder):
    """``feeders.feeder_pyskl.Feeder`` of the configurations; items are (x, label, index).

    x is (M, T, V, C): persons, frames, joints, channels; with ``num_clips`` above 1 (clips, M, T, V, C), whose scores a
    test averages. Samples come in the order of the annotations. A step ``DecompressPose`` has nothing to do: that is
    done when the pickle is read.

    Args:
        data_path: PYSKL pickle, or archive in any other layout (docs/data.md), or the clips of one.
        split: a list of the pickle ("xsub_train"), or "train", "test" (with ``layout`` where there are several). Of
            other archives than pickles the part for training or the one for testing, whatever the list is called.
        pipeline: the published list of steps, ``{type: name, ...}`` each; by default that of ST-GCN++ on 3-D joints.
            Where the clips have another skeleton, it is changed for theirs (docs/pyskl-data.md).
        test_mode: no random frames; None: unless the split is one to train on.
        data_type: stream j, b, k, jm, bm, km; window_size: frames of a clip; num_clips, p_interval, num_person: as of
            the steps; None: as the pipeline says.
        times: so often an epoch goes through the clips (RepeatDataset).
        average_clips: of several clips the mean of the probabilities ("prob") or of the logits ("score").
        skeleton: name or YAML file, where the archive does not tell (`skeleton-lab skeletons`).
        layout, label_path: of the archive, where its content does not tell.
        debug: only the first 100 samples.

    Raises:
        FeederArgumentError: unknown or missing argument. UsageError: a number, step or split cannot work.
        ArchiveError, ArchiveNotFoundError, ArchiveKeyError: the archive is missing or not usable.
    """

    room_dir = Path(__file__).resolve().parents[1]
    axes = "MTVC"

    def __init__(
        self,
        data_path: str | Clips | None = None,
        split: str = "train",
        pipeline: Sequence[dict[str, Any]] | None = None,
        test_mode: bool | None = None,
        data_type: str | None = None,
        window_size: int | None = None,
        num_clips: int | None = None,
        p_interval: Any = None,
        num_person: int | None = None,
        times: int = 1,
        average_clips: str = "prob",
        skeleton: str | None = None,
        layout: str | None = None,
        label_path: str | None = None,
        debug: bool = False,
        **unknown: Any,
    ) -> None:
        self.accept({**locals(), "num_person": None})
        if average_clips not in AVERAGES:
            raise UsageError(f"feeder argument average_clips is 'prob' or 'score', not {average_clips!r}")
        part, division = published_split(split, layout)
        clips = array_clips.given(data_path, layout)
        if clips is None:
            path = locate(str(data_path), self.room_dir)
            if is_pickle(path):
                layout = raw_layout(division)
            elif division != layout:
                base.log_once(f"{path} has no list {split}, as pickles have: its part '{part}' is read")
            clips = open_archive(path, part, label_path=label_path, layout=layout).in_stored_order()
        found, self.told = skeletons.told(clips, skeleton), skeletons.says(clips, skeleton)
        clips = clips if found is None else skeletons.saying(clips, found)
        self.D = skeletons.coordinates(clips)
        self.flat = self.D == 2
        steps = pyskl_pipelines.checked(pipeline if pipeline is not None else pyskl_pipelines.PUBLISHED)
        # In pickles every joint is somewhere; recordings of one's own have joints far off, with scores next to nothing.
        own = self.flat and found is not None and clips.layout not in ("pyskl", "kinetics")
        self.placed = own and pyskl_pipelines.about_the_body(steps)  # by ``seen`` of the parent
        self.gaps = found if own and not self.placed else None
        if found is not None and (skeleton is not None or not pyskl_pipelines.fits(steps, found, self.flat)):
            steps = pyskl_pipelines.adapted(steps, found, self.flat, self.placed)
        window = window_size if window_size != -1 else None
        feats = None if data_type is None else [data_type]
        steps = pyskl_pipelines.changed(
            steps, clip_len=window, num_clips=num_clips, p_interval=p_interval, feats=feats, num_person=num_person
        )
        self.compose, self.average_clips = Compose(steps), average_clips
        self.up = "z" if any(step.align_spine for step in self.compose.all(PreNormalize3D)) else None
        self.test_mode = bool(test_mode) if test_mode is not None else part != "train"
        self.num_clips = self.compose.all(UniformSample)[-1].num_clips
        self.repeat = base.checked_count("times", times)
        names = clips.names or [f"{part}_{i}" for i in range(len(clips))]
        super().__init__(clips, [self._run], names, debug)
        self._tell(found)

    def _tell(self, found: Layout | None) -> None:
        """Bones to draw and, unless the pipeline adds joints, the skeleton that the network gets."""
        streams = self.compose.all(GenSkeFeat)
        extended = streams and len(streams[0].parents) != self.clips.V
        self.skeleton = None if extended else found
        if streams:
            self.edges = [(joint, int(above)) for joint, above in enumerate(streams[0].parents) if joint != above]
        if (
            self.flat
            and not self.placed
            and self.clips.img_shape is None
            and self.clips.units != "image"
            and not extended
        ):
            base.log_once(
                f"{self.clips.path} does not tell the sizes of its pictures: they are taken as 1920 x 1080 pixels"
            )

    def take_people(self, count: int) -> None:
        """As the parent's; the pipeline's last step does it, in its own order of the axes."""
        super().take_people(count)
        self.num_person = None
        self.compose.all(FormatGCNInput)[-1].num_person = count

    def _run(self, work: Work) -> None:
        """The pipeline for every sample: ``x`` (B, clips, M, T, V, C) float32."""
        seeds = work.draws.bits("pipeline")[:, 0].tolist()
        made = [self._one(work.clips, int(clip), seed) for clip, seed in zip(work.sample, seeds)]
        work.x = torch.from_numpy(np.stack([x for x, _ in made]))
        work.frames = np.stack([frames for _, frames in made]).astype(np.float64)

    def _one(self, clips: Any, clip: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """What the pipeline makes of a clip, and which of its frames that is."""
        item = self.annotation(clips, clip)
        item[SOURCE] = np.arange(item["total_frames"])
        made = self.compose(item, Chance.seeded(seed))
        return np.asarray(made["keypoint"], np.float32), made[SOURCE]

    def annotation(self, clips: Clips, clip: int) -> dict[str, Any]:
        """A clip as an annotation of PYSKL's pickles."""
        at = np.array([clip])
        frames = int(clips.lengths(at)[1][0])
        if clips.frames is not None:
            frames = int(clips.frames[clip])
        frames = max(frames, 1)
        x = clips.gather(at, np.arange(frames)[None])[0]  # (T, M, V, C)
        if self.gaps is not None:
            x = self._without_gaps(x, self.gaps)
        x = x.swapaxes(0, 1)[:PEOPLE]  # (M, T, V, C)
        item: dict[str, Any] = {
            "frame_dir": self.sample_name[clip], "label": int(self.label[clip]), "start_index": 0, "modality": "Pose",
            "test_mode": self.test_mode, "total_frames": frames, "keypoint": x,
        }  # fmt: skip
        if clips.scored:
            item["keypoint"], item["keypoint_score"] = x[..., :-1], x[..., -1]
        if clips.img_shape is not None:
            item["img_shape"] = tuple(clips.img_shape[clip].tolist())
        elif self.flat and clips.units == "image" and not self.placed:
            item["img_shape"] = WHOLE_PICTURE
            middle = np.float32(0.5 * (clips.layout in CENTRED))
            item["keypoint"] = item["keypoint"] + middle
        return item

    def _without_gaps(self, x: np.ndarray, skeleton: Layout) -> np.ndarray:
        """(T, M, V, C) with missing joints filled in, whose scores become such that the pipeline keeps them."""
        points, there, _ = without_gaps(x, skeleton, self.clips.scored)
        score = np.maximum(x[..., points.shape[-1] :], FAINT)
        return np.concatenate([points, score], -1, dtype=np.float32) * there[..., None, None]

    def inputs(self, work: Work) -> tuple[Tensor, ...]:
        """(B, M, T, V, C); with several clips (B, clips, M, T, V, C)."""
        return (work.x[:, 0] if self.num_clips == 1 else work.x,)


def published_split(split: str | None, layout: str | None) -> tuple[str, str | None]:
    """The lab's split and layout of a split as PYSKL's configurations name it: xsub_val is "test" of "pyskl:xsub:val".

    Raises:
        UsageError: its name does not tell whether it is for training.
    """
    if split is None or split in SPLITS:
        return split or "train", layout
    found = divisions([str(split)])
    if not found or (layout is not None and set(layout.split(":")) - {"pyskl", "raw"}):
        raise UsageError(
            f"feeder argument split '{split}': 'train', 'test', or a list of the pickle that says in its name whether "
            f"it is for train, val or test{', and then no layout' if found else ''}"
        )
    ((division, parts),) = found.items()
    part = next(iter(parts))
    words = ["pyskl", division, "" if part == "train" else part]
    return ("train" if part == "train" else "test"), ":".join(filter(None, words))
