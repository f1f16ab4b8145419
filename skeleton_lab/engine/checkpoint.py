"""Tensors in files that must survive a crash, and random states as tensors."""

from __future__ import annotations

import io
import pickle
import random
import re
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_lab.errors import WeightsError
from skeleton_lab.utils.atomic import refuse_special, write_atomically

GLOBAL = re.compile(r"GLOBAL ([\w.]+)|[Uu]nsupported class ([\w.]+)")  # what torch names when it refuses a file


def save_tensors(path: Path, content: Any) -> None:
    """``torch.save`` through memory: a full disk is an OSError then, not an error of the zip writer."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, lambda file: file.write(buffer.getbuffer()))


def weights_of(net: nn.Module) -> OrderedDict[str, Tensor]:
    """The published format: an ordered mapping name -> CPU tensor, nothing else. A copy."""
    return OrderedDict(
        (name, tensor.detach().to("cpu", copy=True).contiguous()) for name, tensor in net.state_dict().items()
    )


def load_tensors(path: Path) -> Any:
    """Read a file of ``torch.save`` onto the CPU; it can hold tensors and plain containers, never code.

    Raises:
        WeightsError: missing, truncated, foreign, or holding anything else.
    """
    refuse_special(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's thoughts about damaged bytes; the error line says what to do
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"there is no file {path}") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except pickle.UnpicklingError as error:
        named = GLOBAL.search(str(error))
        what = f"it holds {named[1] or named[2]}" if named else "it holds other things, or it is damaged"
        raise WeightsError(
            f"{path}: is not a file of plain tensors: {what}; nothing of it was run or loaded"
        ) from error
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        raise WeightsError(
            f"{path}: truncated or not a PyTorch file; get it again, or take an earlier one of the run"
        ) from error


def random_states(device: torch.device) -> dict[str, Any]:
    """All generators that a training step may draw from, as tensors and plain containers."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, words, normal = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": [str(kind), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [version, list(words), normal],
    }


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, words, normal = states["python"]
    random.setstate((version, tuple(words), normal))
