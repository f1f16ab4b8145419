"""Where CLIP's weights come from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from skeleton_lab.data.archives.packed import cache_root
from skeleton_lab.engine.checkpoint import load_tensors
from skeleton_lab.errors import LabError, UsageError, WeightsError
from skeleton_lab.utils.atomic import refuse_special, write_atomically
from skeleton_lab.zero_shot.text import torchscript
from skeleton_lab.zero_shot.text.tower import TextTower

HASHES = {
    "ViT-B/32": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    "ViT-B/16": "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
}
URL = "https://openaipublic.azureedge.net/clip/models/{hash}/{file}"
TIMEOUT = 20  # seconds without an answer
_TOWER = ("positional_embedding", "text_projection", "token_embedding.", "ln_final.", "transformer.")


def file_name(arch: str) -> str:
    """``ViT-B/32`` -> ``ViT-B-32.pt``."""
    return arch.replace("/", "-") + ".pt"


def folders(room: Path) -> list[Path]:
    """Folders that are looked into: the current one's and the room's ``text_extractor``, $CLIP_WEIGHTS."""
    asked = os.environ.get("CLIP_WEIGHTS")
    return [Path("text_extractor"), room / "text_extractor", *([Path(asked)] if asked else [])]


def find(arch: str, room: Path, given: str | None = None) -> Path:
    """The file with the weights of ``arch``: ``given`` as it is, else one of ``folders`` with the published content.

    The last resort is a download into the lab's cache.

    Raises:
        UsageError: there is none, and none can be had.
        WeightsError: a file of the published name has another content.
    """
    if given is not None:
        if not Path(given).is_file():
            raise UsageError(f"--weights {given}: there is no such file; give the path of {file_name(arch)}")
        return Path(given)
    name, tried = file_name(arch), folders(room)
    for folder in (*tried, cache_root() / "clip"):
        path = folder if folder.is_file() else folder / name  # $CLIP_WEIGHTS may name the file itself
        if path.is_file():
            _check(path, arch)
            return path
    url = URL.format(hash=HASHES[arch], file=name)
    return _download(url, cache_root() / "clip" / name, arch, tried)


def _check(path: Path, arch: str) -> None:
    refuse_special(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 22):
            digest.update(part)
    if digest.hexdigest() != HASHES[arch]:
        raise WeightsError(
            f"{path}: is not OpenAI's {file_name(arch)}, or damaged (SHA-256 {digest.hexdigest()[:16]}..., expected "
            f"{HASHES[arch][:16]}...); remove it, or use it all the same with --weights {path}"
        )


def _download(url: str, target: Path, arch: str, tried: Sequence[Path]) -> Path:
    digest = hashlib.sha256()

    def write(file: Any) -> None:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, _bar(answer.headers, target.name) as bar:
            while part := answer.read(1 << 20):
                digest.update(part)
                file.write(part)
                bar.update(len(part))
        if digest.hexdigest() != HASHES[arch]:
            raise WeightsError(f"{url}: what came is not {target.name} (SHA-256 differs); try again")

    try:
        return write_atomically(target, write)
    except LabError:
        raise
    except (OSError, urllib.error.URLError) as error:
        places = ", ".join(str(folder) for folder in (*tried, target.parent))
        reason = getattr(error, "reason", None) or error
        raise UsageError(
            f"{target.name}, CLIP's weights, is in none of {places}, and {url} cannot be downloaded ({reason}); put "
            "the file into one of them, name it with --weights, or put finished .npy features into --save_dir"
        ) from None


@contextlib.contextmanager
def _bar(headers: Mapping[str, str], title: str) -> Iterator[tqdm]:
    total = int(headers["Content-Length"]) if headers.get("Content-Length") else None
    with tqdm(total=total, desc=title, unit="B", unit_scale=True, leave=False) as bar:
        yield bar


def read(path: Path) -> dict[str, Tensor]:
    """The text half of a file of OpenAI's (TorchScript archive), or of a plain ``state_dict``.

    Raises:
        WeightsError: neither, or damaged; nothing in the file is run.
    """
    if torchscript.is_torchscript(path):
        return torchscript.read(path, lambda name: name.startswith(_TOWER))
    content = load_tensors(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds no mapping of names to tensors")
    named = ((str(name).removeprefix("module."), value) for name, value in content.items())
    return {name: value for name, value in named if name.startswith(_TOWER) and torch.is_tensor(value)}


def load_tower(path: Path) -> TextTower:
    """The text tower of a file (``read``), in float32 on the CPU."""
    return TextTower.of(read(path), str(path))
