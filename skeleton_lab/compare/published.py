"""What was published for a run's configuration, and in what the run differs from that recipe.

A room keeps its figures in ``published.yaml``: configuration, stream where flags make it, benchmark, top-1, source.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skeleton_lab import registry
from skeleton_lab.compare.reading import Result
from skeleton_lab.data.archives.ntu_published import SIZES
from skeleton_lab.engine.config import yaml_file
from skeleton_lab.errors import LabError, UsageError
from skeleton_lab.registry import Room
from skeleton_lab.reporting.run_report.work_dir import stream_of

FILE = "published.yaml"
CLIPS = {  # of the test sets
    "NTU-60 X-Sub": SIZES["NTU60_CS"][1], "NTU-60 X-View": SIZES["NTU60_CV"][1],
    "NTU-120 X-Sub": SIZES["NTU120_CSub"][1], "NTU-120 X-Set": SIZES["NTU120_CSet"][1], "NW-UCLA": 464,
}  # fmt: skip
ABSENT, TEST_CLIPS = "not set", "test clips"


@dataclass(frozen=True)
class Published:
    """A figure and what the run does differently: (setting, published, here)."""

    config: str
    benchmark: str
    top1: float  # a fraction
    source: str
    differences: tuple[tuple[str, str, str], ...]

    @property
    def same_clips(self) -> bool:
        """The test set is of the benchmark's size, as far as that is known."""
        return not any(name == TEST_CLIPS for name, _, _ in self.differences)


def of(result: Result) -> Published | None:
    """The figure of the configuration and stream that the run was started with; None where there is none.

    Where flags made another stream of a configuration, it is that of the stream's own configuration in the same folder.
    """
    this = _room(result.room)
    config = str(result.run.config.get("config") or "").replace("\\", "/")
    if this is None or not config:
        return None
    own = [figure for figure in figures(this) if f"/{config}".endswith(f"/{figure['config']}")]
    beside = [figure for figure in figures(this) if own and _folder(figure["config"]) == _folder(own[0]["config"])]
    figure = next((each for each in (*own, *beside) if result.stream == _stream(this, each)), None)
    if figure is None:
        return None
    unlike = (*_clips(result, figure["benchmark"]), *differences(this, figure["config"], result.run.config))
    return Published(figure["config"], figure["benchmark"], figure["top1"] / 100, figure["source"], unlike)


def _folder(config: str) -> str:
    return config.rpartition("/")[0]


def _room(name: str) -> Room | None:
    return next((room for room in registry.ROOMS if room.folder == name), None)


@functools.cache
def figures(this: Room) -> tuple[dict[str, Any], ...]:
    """The rows of a room's file; none where it has no file.

    Raises:
        UsageError: a row lacks something.
    """
    path = this.path / FILE
    if not path.is_file():
        return ()
    rows = yaml_file.read(path).get("figures") or []
    for row in rows:
        if not isinstance(row, dict) or not {"config", "benchmark", "top1", "source"} <= set(row):
            raise UsageError(f"{path}: each of its figures needs config, benchmark, top1 and source; not so {row}")
    return tuple(rows)


def _clips(result: Result, benchmark: str) -> tuple[tuple[str, str, str], ...]:
    want, have = CLIPS.get(benchmark), len(result.labels)
    return () if want in (None, have) else ((TEST_CLIPS, f"{want:,}", f"{have:,}"),)


def _stream(this: Room, figure: Mapping[str, Any]) -> str:
    """What a figure is of: the stream that its row names, else the one that its configuration feeds."""
    settings = _recipe(this, figure["config"]) or {}
    return figure.get("stream") or stream_of(settings.get("test_feeder_args") or {})


@functools.cache
def _recipe(this: Room, config: str) -> dict[str, Any] | None:
    """All settings of a published configuration, defaults among them; None where it cannot be read."""
    from skeleton_lab.engine.config import options  # here: PyTorch, which nothing else needs

    try:
        words = ["--config", str(this.path / config), "--work-dir", "unused"]
        return options.parse(this.recipe, words, this.path).settings()
    except LabError:
        return None


def differences(this: Room, config: str, here: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Settings that decide the numbers of a run and are others than the published ones: (name, published, here)."""
    from skeleton_lab.engine.train_state import ESSENTIAL, PLACES

    published = _recipe(this, config)
    if published is None:
        return ()
    found: list[tuple[str, str, str]] = []
    for name in ("num_epoch", *ESSENTIAL):
        if name in published and name in here:  # a run of an earlier version does not tell all
            _differ(name, published[name], here[name], found)
    return tuple(each for each in found if each[0].rpartition(".")[2] not in PLACES)


def _differ(name: str, published: Any, here: Any, found: list[tuple[str, str, str]]) -> None:
    if isinstance(published, Mapping) and isinstance(here, Mapping):
        for key in dict.fromkeys([*published, *here]):
            _differ(f"{name}.{key}", published.get(key), here.get(key), found)
    elif _plain(published) != _plain(here):
        found.append((name, _words(published), _words(here)))


def _plain(value: Any) -> Any:
    """Numbers as numbers, sequences as lists; nothing, no and what is empty are alike."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, (list, tuple)):
        value = [_plain(each) for each in value]
    return value or None


def _words(value: Any) -> str:
    return ABSENT if value is None else str(value)
