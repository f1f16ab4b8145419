"""The machine, and all rows as one page of Markdown."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.gpu_evidence.schedule import PARTS, read, short
from skeleton_lab.utils.atomic import write_atomically


def machine(dry: bool) -> dict[str, Any]:
    """Hardware and versions; what is not there is None."""
    import torch

    cuda = torch.cuda.is_available() and not dry
    return {
        "GPU": gpu("name,memory.total") if cuda else None,
        "driver": gpu("driver_version") if cuda else None,
        "PyTorch": torch.__version__,
        "CUDA": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
        "Python": platform.python_version(),
        "CPU": f"{processor()}, {torch.get_num_threads()} threads",
        "lab": commit(),
    }


def gpu(query: str) -> str | None:
    """What nvidia-smi says of the first GPU."""
    said = output("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader")
    return said.splitlines()[0] if said else None


def commit() -> str | None:
    return output("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD")


def output(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else None


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write(folder: Path) -> Path:
    """``evidence.md`` and ``evidence.json`` of what the parts have left in ``folder``; the first one's path."""
    facts = read(folder / "machine.json")
    parts = {part.name: read(folder / f"{part.name}.json") for part in PARTS}
    lines = ["| machine | |", "|---|---|", *(f"| {name} | {cell(value)} |" for name, value in facts.items()), ""]
    for part in PARTS:
        if content := parts[part.name]:
            lines += section(part.title, content)
    everything = {"machine": facts, "parts": {name: content for name, content in parts.items() if content}}
    write_atomically(folder / "evidence.json", lambda file: file.write(json.dumps(everything, indent=1).encode()))
    return write_atomically(folder / "evidence.md", lambda file: file.write("\n".join(lines).encode()))


def section(title: str, content: dict[str, Any]) -> list[str]:
    """A part: what became of it, and its rows; those with the same columns stand in one table."""
    reason = f": {content['reason']}" if content.get("reason") else ""
    dry = ", a dry run on the CPU" if content.get("dry") else ""
    lines = [f"### {title}", "", f"{content['status']}{reason} ({content.get('seconds', 0):.0f} s{dry})", ""]
    columns: list[str] = []
    for row in content["rows"]:
        if list(row) != columns:
            columns = list(row)
            lines += [
                "",
                "| " + " | ".join(name.replace("_", " ") for name in columns) + " |",
                "|---" * len(columns) + "|",
            ]
        lines.append("| " + " | ".join(cell(value) for value in row.values()) + " |")
    return [*lines, ""]


def cell(value: Any) -> str:
    said = {None: "–", True: "yes", False: "no"}.get(value) if value is None or isinstance(value, bool) else None
    return said or short(value).replace("|", "\\|").replace("\n", " ")
