"""``python -m benchmarks.gpu_evidence``, which ``tools/gpu_evidence.sh`` starts."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.gpu_evidence import schedule
from skeleton_lab.errors import UsageError, guarded
from skeleton_lab.utils.cli import Parser, check_sizes

NAMES = tuple(part.name for part in schedule.PARTS)


def parser() -> Parser:
    options = Parser(description="What the lab does on a GPU, in under nine minutes; results as JSON and as a table.")
    add = options.add_argument
    add(
        "--out", default="gpu_evidence", help="folder of the results; a second run goes on there (default: %(default)s)"
    )
    add("--from", dest="base", default=".", help="folder that --out starts from (default: here)")
    add("--seconds", type=int, default=schedule.SECONDS, help="of the whole run (default: %(default)s)")
    add("--parts", nargs="+", choices=NAMES, default=NAMES, metavar="PART", help=f"of {', '.join(NAMES)}")
    add(
        "--dry",
        action="store_true",
        help="every part on the CPU with tiny sizes: shows that it works, measures nothing",
    )
    add("--part", choices=NAMES, help="this one alone and in this process")
    return options


def program() -> int:
    """The exit code: 0, or 1 where a part has failed; one that ran out of time has not."""
    options = parser().parse_args()
    check_sizes(options, "seconds")
    folder = Path(options.base, options.out).resolve()
    if options.part:
        module = importlib.import_module(f"benchmarks.gpu_evidence.{options.part}")
        status = schedule.do(schedule.Report(options.part, folder, options.seconds, options.dry), module.part)
        return status == "failed"
    from benchmarks.gpu_evidence import table
    from skeleton_lab.utils.devices import gpus

    if not options.dry and not gpus():
        raise UsageError("PyTorch sees no GPU here; --dry tries every part on the CPU")
    folder.mkdir(parents=True, exist_ok=True)
    schedule.save(folder / "machine.json", table.machine(options.dry))
    parts = [part for part in schedule.PARTS if part.name in options.parts]
    statuses = schedule.run(parts, folder, options.seconds, options.dry)
    page = table.write(folder)
    for name, status in statuses.items():
        reason = schedule.read(folder / f"{name}.json").get("reason")
        print(f"{name:10} {status}{f': {reason}' if reason else ''}")
    print(f"The table: {page}")
    return "failed" in statuses.values()


if __name__ == "__main__":
    sys.exit(guarded(program))
