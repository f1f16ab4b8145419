"""The rooms: one published model each, in its own folder, importable beside each other.

Rooms use the same module names (``model``, ``graph``, ``feeders`` ...).  A container holds one room; tests, benchmarks
and notebooks hold many and keep them apart with ``room``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skeleton_lab.errors import UsageError, nearest
from skeleton_lab.utils import trust
from skeleton_lab.utils.importing import import_class, named

if TYPE_CHECKING:
    from skeleton_lab.engine.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent


class Room(NamedTuple):
    folder: str
    image: str  # skeleton-lab:<image>, built from <image>.docker
    program: str | None  # letter of its training program; None for the zero-shot rooms
    config: str | None = None  # the configuration that stands for the room, relative to its folder
    variant: str | None = None  # of a zero-shot room: which of the two methods
    presets: tuple[str, ...] = ()  # other configurations that train on the same data: smaller or larger

    @property
    def path(self) -> Path:
        return ROOT / self.folder

    @property
    def recipe(self) -> Recipe:
        """Of its training program; UsageError of a room that has none, or is not here."""
        if self.program is None:
            raise UsageError(f"room {self.folder} has no recipe: it trains on features, not on clips")
        return load(self.folder, "recipe.RECIPE")


ROOMS = (
    Room(
        "CTR-GCN",
        "ctrgcn",
        "C",
        "config/nturgbd-cross-subject/default.yaml",
        presets=("config/nturgbd-cross-subject/8gb.yaml",),
    ),
    Room("MS-G3D", "msg3d", "G", "config/nturgbd-cross-subject/train_joint_kaggle.yaml"),
    Room(
        "FreqMixFormer",
        "freqmixformer",
        "F",
        "config/nturgbd-cross-subject/joint.yaml",
        presets=("config/nturgbd-cross-subject/joint_lowmem.yaml",),
    ),
    Room(
        "SkateFormer",
        "skateformer",
        "S",
        "config/train/ntu_cs/SkateFormer_j.yaml",
        presets=("config/train/ntu_cs/SkateFormer_j_lowmem.yaml", "config/train/ntu_cs/SkateFormer_j_tiny.yaml"),
    ),
    Room(
        "Hyper-GCN",
        "hypergcn",
        "H",
        "config/base/nturgbd-cross-subject/hyper_joint.yaml",
        presets=("config/large/nturgbd-cross-subject/hyper_joint.yaml",),
    ),
    Room(
        "ST-GCN",
        "stgcn",
        "T",
        "config/st_gcn/ntu-xsub/train.yaml",
        presets=("config/st_gcn.twostream/ntu-xsub/train.yaml",),
    ),
    Room(
        "PYSKL",
        "pyskl",
        "P",
        "config/stgcnpp/ntu60_xsub_3dkp/j.yaml",
        presets=("config/protogcn/ntu60_xsub/j.yaml",),
    ),
    Room("DeGCN", "degcn", "D", "config/nturgbd-cross-subject/default.yaml"),
    Room("FS-VAE", "fsvae", None, variant="fsvae"),
    Room("MSF-GZSSAR", "msf-gzssar", None, variant="msf"),
)


class Model(NamedTuple):
    """One network under the name that ``create_model`` takes.

    Attributes:
        room: its folder; config: its published configuration, relative to that; None for the zero-shot methods.
        network: the class, where the configuration names another one.
    """

    name: str
    room: str
    config: str | None
    network: str | None = None

    @property
    def path(self) -> Path:
        """The published configuration; only of the supervised rooms."""
        return ROOT / self.room / str(self.config)


MODELS = (
    *(Model(room.image, room.folder, room.config) for room in ROOMS),
    Model("ctrgcn-ucla", "CTR-GCN", "config/ucla/default.yaml"),
    Model("ctrgcn-baseline", "CTR-GCN", "config/nturgbd-cross-subject/default.yaml", "model.baseline.Model"),
    Model("msg3d-kinetics", "MS-G3D", "config/kinetics-skeleton/train_joint.yaml"),
    Model("freqmixformer-ucla", "FreqMixFormer", "config/ucla/joint.yaml"),
    Model("skateformer-ucla", "SkateFormer", "config/train/nw_ucla/SkateFormer_j.yaml"),
    Model("hypergcn-large", "Hyper-GCN", "config/large/nturgbd-cross-subject/hyper_joint.yaml"),
    Model("hypergcn-ucla", "Hyper-GCN", "config/ucla/hyper_joint.yaml"),
    Model("stgcn-twostream", "ST-GCN", "config/st_gcn.twostream/ntu-xsub/train.yaml"),
    Model("degcn-jbf", "DeGCN", "config/nturgbd-cross-subject/default.yaml", "model.jbf.Model"),
    Model("stgcn-kinetics", "ST-GCN", "config/st_gcn/kinetics-skeleton/train.yaml"),
    Model("stgcnpp", "PYSKL", "config/stgcnpp/ntu60_xsub_3dkp/j.yaml"),
    Model("stgcnpp-coco", "PYSKL", "config/stgcnpp/ntu60_xsub_hrnet/j.yaml"),
    Model("protogcn", "PYSKL", "config/protogcn/ntu60_xsub/j.yaml"),
)
# backbones of PYSKL's configurations: the network that it is here
BACKBONES = {"STGCN": "stgcnpp", "ProtoGCN": "protogcn"}
# a parameter that every network of the name has, and no other room's
TELLING = (
    ("CTR-GCN", "l1.gcn1.convs.0.conv1.weight"),
    ("CTR-GCN's baseline", "l1.gcn1.conv_d.0.weight"),
    ("MS-G3D", "gcn3d1.gcn3d.0.gcn3d.1.A_res"),
    ("FreqMixFormer", "l1.spa_mixf.alpha"),
    ("SkateFormer", "stages.0.blocks.0.transformer.gconv"),
    ("Hyper-GCN", "l1.gcn1.conv_d.weight"),
    ("ST-GCN", "st_gcn_networks.0.gcn.conv.weight"),
    ("PYSKL's ProtoGCN", "backbone.prn.query_matrix.weight"),
    ("PYSKL's ST-GCN++", "backbone.gcn.0.gcn.conv.weight"),
    ("DeGCN", "streams.0.block-0_tcngcn.gcn.A"),
    ("DeGCN's joint-bone fusion", "streams1.0.block-0_tcngcn.gcn.A"),
    ("ST-GCN's two streams", "origin_stream.st_gcn_networks.0.gcn.conv.weight"),
)
trust.know(room.path for room in ROOMS)
_opening = threading.RLock()  # what a room changes is the whole process's
_modules: dict[str, dict[str, Any]] = {}  # what each room has imported so far, by folder


def find(name: str) -> Room:
    """A room by its folder, image name or program letter, whatever the case; UsageError for an unknown name."""
    for room in ROOMS:
        if str(name).lower() in (room.folder.lower(), room.image, room.program and room.program.lower()):
            return room
    known = [room.folder for room in ROOMS]
    raise UsageError(f"there is no room '{name}'; rooms are {', '.join(known)}.{nearest(str(name), known)}")


def model(name: str) -> Model:
    """A network by its name, or by its room's folder; UsageError for an unknown one."""
    for each in MODELS:
        if str(name).lower() in (each.name, each.room.lower()):
            return each
    known = [each.name for each in MODELS]
    raise UsageError(
        f"there is no model '{name}'.{nearest(str(name).lower(), known)} Models are {', '.join(sorted(known))}"
    )


def supervised(name: str, what: str) -> Model:
    """As ``model``, for ``what`` needs clips and their classes; UsageError for the zero-shot methods."""
    this = model(name)
    if this.config is None:
        raise UsageError(
            f"{what}: {this.name} learns from features and texts, not from clips: extract features with a supervised "
            "network, then train.py of its room (docs/zero-shot.md)"
        )
    return this


def config_beside(weights: Path) -> Path | None:
    """The ``config.yaml`` that the run of these weights left beside them (MS-G3D: one folder above), if it is there."""
    beside = (folder / "config.yaml" for folder in (weights.parent, weights.parent.parent))
    return next((path for path in beside if path.is_file()), None)


def owner(parameters: Container[str]) -> str | None:
    """Whose network has these parameters (names of a state dict), if it is one of a room."""
    return next((name for name, parameter in TELLING if parameter in parameters), None)


def _belongs(module: Any, folders: tuple[str, ...]) -> bool:
    """Whether a module (or a package without ``__init__``) comes from one of ``folders``, which end in a slash."""
    told = getattr(module, "__dict__", {})
    places = [told.get("__file__"), *(told.get("__path__") or ())]
    return any(str(place).startswith(folders) for place in places)


def _names(folder: Path) -> set[str]:
    """What can be imported from a folder: its modules, and the folders that hold some."""
    return {
        each.stem for each in folder.iterdir() if each.suffix == ".py" or (each.is_dir() and any(each.glob("*.py")))
    }


@contextlib.contextmanager
def room(name: str) -> Iterator[Room]:
    """Imports inside see this room's ``model``, ``graph``, ``feeders`` ... and no other's; UsageError if it is absent.

    Modules of the same names, another room's or the caller's own, are back afterwards. Other threads wait with their
    rooms. Classes taken out keep working, but what they import by name when called needs the room to be open again.
    """
    this = find(name)
    if not this.path.is_dir():
        raise UsageError(f"room {this.folder} is not here: there is no folder {this.path}")
    path, here, names = str(this.path), (f"{this.path}{os.sep}",), _names(this.path)
    of_rooms = tuple(f"{each.path}{os.sep}" for each in ROOMS)
    with _opening:
        already_open = path in sys.path
        before = {
            key: module
            for key, module in list(sys.modules.items())
            if key.partition(".")[0] in names or _belongs(module, of_rooms)
        }
        for key, module in before.items():
            if not _belongs(module, here):
                del sys.modules[key]
        sys.modules.update(_modules.get(this.folder, {}))
        sys.path.insert(0, path)
        try:
            with trust.opened(this.path):
                yield this
        finally:
            sys.path.remove(path)
            mine = {key: module for key, module in list(sys.modules.items()) if _belongs(module, here)}
            _modules[this.folder] = mine
            if not already_open:
                for key in mine:
                    del sys.modules[key]
            sys.modules.update(before)


def load(name: str, dotted: str, kind: str | None = None) -> Any:
    """What a room calls ``dotted``: ``load("CTR-GCN", "model.ctrgcn.Model")``.

    Args:
        kind: as of ``import_class``, for names that a configuration says; without it anything that the room has.
    """
    with room(name):
        return named(dotted) if kind is None else import_class(dotted, kind)
