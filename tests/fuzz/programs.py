"""What people type and what runs leave behind: configurations, flags, scores, weights, checkpoints.

An input goes to the program's own parser or reader. What comes back is what the program would end with: silence and
exit code 0, or one printable line and exit code 2.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from skeleton_lab.errors import USAGE, UsageError, guarded
from skeleton_lab.registry import ROOMS, find, room
from tests.fuzz import pickled, seeds, toy, words
from tests.fuzz.reader import Reader, written

LETTERS = tuple(this.program for this in ROOMS if this.program and this.path.is_dir())
CLASSES, CLIPS = 4, 6
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # what a terminal obeys
SHARE = 0.7  # damaged bytes mostly end at the first check


def ended(program: Callable[[], object]) -> None:
    """Run it as its command line would.

    Raises:
        UsageError: it refused its input, in one line.
        AssertionError: it ended in any other way.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = guarded(lambda: program() or 0)
    said = err.getvalue()
    if code == USAGE:
        line = (said or out.getvalue()).rstrip("\n").rpartition("\n")[2]
        assert not STEERING.search(line), f"exit code 2 and a line with control characters: {line!r}"
        assert line and said.count("\n") <= 1, f"exit code 2 and no single line: {said[:300]!r}"
        raise UsageError(line)
    assert code == 0, f"exit code {code}: {said[-300:]!r}"


def usual(letter: str, path: Path | str) -> list[str]:
    """The command line of a room's training."""
    return [*(["recognition"] if letter == "T" else []), "--config", str(path), "--work-dir", "results"]


def _configuration(letter: str) -> Callable[[Path, bytes], None]:
    def use(folder: Path, data: bytes) -> None:
        path = written(folder / "config.yaml", data)
        ended(lambda: _understood(letter, usual(letter, path), folder))

    return use


def _understood(letter: str, argv: list[str], folder: Path) -> None:
    """The options, the classes that they name, and what a run writes down of them."""
    from skeleton_lab.engine.config import options
    from skeleton_lab.utils.importing import import_class

    found = options.parse(find(letter).recipe, argv, find(letter).path)
    options.save(found, folder / "written.yaml")
    with room(letter):
        for name in (found.model, found.feeder, found.model_args.get("graph")):
            if isinstance(name, str):
                import_class(name)


def _flags(letter: str) -> Callable[[Path, bytes], None]:
    def use(folder: Path, data: bytes) -> None:
        ended(lambda: _understood(letter, words.parted(data), folder))

    return use


def _own_configuration(letter: str) -> bytes:
    this = find(letter)
    return (this.path / str(this.config)).read_bytes()


def _own_flags(letter: str) -> bytes:
    return words.joined(usual(letter, find(letter).path / str(find(letter).config)))


def _strange_flags(letter: str) -> Callable[[Random], bytes]:
    def make(draw: Random) -> bytes:
        from skeleton_lab.engine.config.flags import FLAGS

        base = usual(letter, find(letter).path / str(find(letter).config))
        return words.joined(words.command_line([flag.option for flag in FLAGS.values()], base, draw))

    return make


# --- the other programs: their parsers alone, since what they do begins with writing files ---------------------------

SCRIPTS: dict[str, tuple[str, tuple]] = {
    "predict": ("skeleton_lab.inference.program:_parser", ("CTR-GCN",)),
    "cost": ("skeleton_lab.cost.flags:parser", ()),
    "plan": ("skeleton_lab.plan.flags:parser", ()),
    "doctor": ("skeleton_lab.doctor.__main__:parser", (True,)),
    "view": ("skeleton_lab.reporting.viewer.__main__:_parser", ()),
    "synthetic": ("skeleton_lab.data.synthetic.archive:_parser", ()),
    "features": ("skeleton_lab.zero_shot.features.program:_parser", ()),
    "zero-shot training": ("skeleton_lab.zero_shot.align.program:_train_flags", ("fsvae",)),
    "models' benchmark": ("skeleton_lab.baselines.benchmark:parser", ()),
}


@functools.cache
def parser_of(script: str):
    """The parser of a script."""
    place, arguments = SCRIPTS[script]
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)


def _script(folder: Path, data: bytes) -> None:
    script, *argv = words.parted(data)
    chosen = script if script in SCRIPTS else sorted(SCRIPTS)[len(script) % len(SCRIPTS)]
    ended(lambda: parser_of(chosen).parse_args(argv) and None)


def _strange_script(draw: Random) -> bytes:
    script = draw.choice(sorted(SCRIPTS))
    known = [flag for flag in parser_of(script)._option_string_actions if flag.startswith("--")]
    return words.joined([script, *words.command_line(known, [], draw)])


# --- ensembles -------------------------------------------------------------------------------------------------------


def scores() -> bytes:
    rows = np.random.RandomState(1).standard_normal((CLIPS, CLASSES)).astype(np.float32)
    return pickle.dumps({f"test_{k}": row for k, row in enumerate(rows)})


def evaluation() -> bytes:
    file, names = io.BytesIO(), np.array([f"test_{k}" for k in range(CLIPS)])
    np.savez_compressed(file, labels=np.arange(CLIPS) % CLASSES, names=names, logits=np.zeros((CLIPS, CLASSES)))
    return file.getvalue()


def _ensemble(name: str) -> Callable[[Path, bytes], None]:
    """The whole program on two streams; ``name`` is the file of the second one that is replaced."""

    def use(folder: Path, data: bytes) -> None:
        from skeleton_lab.ensemble.program import Recipe, ensemble

        for stream in ("joint", "bone"):
            written(folder / stream / "epoch1_test_score.pkl", scores())
            written(folder / stream / "evaluation.npz", evaluation())
        written(folder / "bone" / name, data)
        argv = ["--dataset", "own", "--joint-dir", str(folder / "joint"), "--bone-dir", str(folder / "bone"), "--fit"]
        ended(lambda: ensemble(Recipe(labels={"own": "bone/evaluation.npz"}), folder, argv))

    return use


def strange_scores(draw: Random) -> bytes:
    """A dict of other names and rows."""
    rows = pickle.loads(scores())
    for _ in range(draw.randint(1, 3)):
        name = draw.choice(list(rows))
        how = draw.randrange(4)
        if how == 0:
            new = draw.choice((draw.choice(words.TEXTS), f"val_{name}.skeleton", f"x/{name}", 3, (1, 2), None))
            rows[new] = rows.pop(name)
        elif how == 1:
            rows[name] = draw.choice((None, "x", 1.0, np.zeros(3), np.full(CLASSES, np.nan), seeds.any_array(draw)))
        elif how == 2:
            del rows[name]
        else:
            rows[str(words.value(draw))] = rows[name]
    return pickle.dumps(rows)


def strange_evaluation(draw: Random) -> bytes:
    """Labels and names of any kind."""
    content = {"labels": np.arange(CLIPS) % CLASSES, "names": np.array([f"test_{k}" for k in range(CLIPS)])}
    others = (np.roll(content["labels"], 1), np.arange(CLIPS + 1), np.array(["a"] * CLIPS), np.zeros(0))
    content[draw.choice(("labels", "names"))] = draw.choice((seeds.any_array(draw), *others))
    if draw.random() < 0.3:
        del content[draw.choice(list(content))]
    file = io.BytesIO()
    np.savez(file, **{key: array for key, array in content.items() if array.dtype.kind != "O"})
    return file.getvalue()


# --- what runs leave behind ------------------------------------------------------------------------------------------


def _fitting(folder: Path, data: bytes) -> None:
    """Weights into a network, as ``--phase test`` takes them."""
    from skeleton_lab.engine.pretrained import load_weights
    from tests.fuzz.tiny_room import Model

    path = written(folder / "weights.pt", data)
    ended(lambda: load_weights(Model(), path, strict=True, say=lambda _: None) and None)


def _resumed(folder: Path, data: bytes) -> None:
    written(folder / "run" / "last.ckpt", data)
    ended(lambda: toy.train(folder / "run", "--resume"))


def _of_configurations(letter: str) -> Reader:
    own = functools.partial(_own_configuration, letter)
    made = (lambda draw: words.configuration(own(), draw),)
    return Reader(f"configuration {letter}", (own,), _configuration(letter), made, SHARE)


def _of_flags(letter: str) -> Reader:
    own = functools.partial(_own_flags, letter)
    return Reader(f"flags {letter}", (own,), _flags(letter), (_strange_flags(letter),), SHARE)


READERS = (
    *(_of_configurations(letter) for letter in LETTERS),
    *(_of_flags(letter) for letter in LETTERS),
    Reader("flags of scripts", (lambda: words.joined(["cost", "--room", "C"]),), _script, (_strange_script,), SHARE),
    Reader("scores", (scores,), _ensemble("epoch1_test_score.pkl"), (strange_scores, pickled.make), SHARE),
    Reader("evaluation.npz", (evaluation,), _ensemble("evaluation.npz"), (strange_evaluation, seeds.strange_npz),
           SHARE),
    Reader("fitting weights", (toy.weights,), _fitting, (toy.strange_weights,), SHARE),
    Reader("last.ckpt", (toy.checkpoint,), _resumed, (toy.strange_checkpoint,), SHARE),
)  # fmt: skip
