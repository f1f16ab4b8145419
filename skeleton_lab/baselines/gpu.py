"""What PyTorch sees of the machine's GPUs, and whether this build of it has code for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch


def support(capability: tuple[int, int], architectures: Iterable[str]) -> str | None:
    """How a PyTorch build serves a GPU: "native", "ptx" (translated by the driver at the first start), or None.

    Args:
        capability: of the GPU, (major, minor).
        architectures: what the build has code for, ``torch.cuda.get_arch_list()``. ``sm_86`` is machine code, which
            runs on GPUs of the same major and an equal or higher minor number; ``sm_90a`` on exactly 9.0;
            ``compute_90`` is PTX, for 9.0 and all later ones.
    """
    best = None
    for name in architectures:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", name)
        if found is None:
            continue
        built = int(found[2]), int(found[3])
        if found[1] == "compute":
            best = "ptx" if not found[4] and built <= capability else best
        elif built == capability or (built[0] == capability[0] and found[4] != "a" and built <= capability):
            return "native"
    return best


def advice(name: str, capability: tuple[int, int], architectures: list[str]) -> str:
    """One line about one GPU."""
    card = f"compute capability {capability[0]}.{capability[1]}"
    how = support(capability, architectures)
    built = " ".join(architectures) or "none"
    if how == "native":
        return f"{card}, and this PyTorch has code for it"
    if how == "ptx":
        return f"{card}: this PyTorch has PTX only, so the first start takes minutes (built for {built})"
    return (
        f"{card}, but this PyTorch is built for {built}: programs on {name} will end with 'no kernel image is "
        "available'. Install a PyTorch build for this card, or build the image on a base that has one "
        "(BASE_IMAGE=pytorch/pytorch:... bash build_all_images.sh)"
    )


def report() -> list[str]:
    """The lines that ``check_gpu.py`` prints."""
    available = torch.cuda.is_available()
    count = torch.cuda.device_count() if available else 0
    lines = [f"CUDA available: {available}", f"CUDA device count: {count}"]
    for index in range(count):
        name = torch.cuda.get_device_name(index)
        lines.append(f"Device {index} name: {name}")
        memory = torch.cuda.get_device_properties(index).total_memory
        lines.append(f"Device {index} memory: {memory / 2**30:.1f} GiB")
        capability = torch.cuda.get_device_capability(index)
        lines.append(f"Device {index}: {advice(name, capability, torch.cuda.get_arch_list())}")
    lines += [f"CUDA version: {torch.version.cuda}", f"PyTorch version: {torch.__version__}"]
    if not available:
        lines.append(
            "This PyTorch is a build without CUDA: everything runs on the CPU." if torch.version.cuda is None else
            "No GPU in sight: does nvidia-smi work on the host (driver), and was the container started with "
            "docker run --gpus all (NVIDIA Container Toolkit)? Everything runs on the CPU, too, only slower."
        )  # fmt: skip
    return lines
