"""Failures that are nobody's bug, each told in one line: signals, divergence, full disks, memory, dead workers."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable

from skeleton_lab.engine.signals import Diverged, Stopped
from skeleton_lab.errors import FAILURE, USAGE, LabError, one_line

SHARED = "/dev/shm"
LITTLE = 2**20  # bytes
GONE = (errno.ENOENT, errno.ESTALE, errno.ENOTDIR)
NO_SHARED = (
    "a data loading worker died, most likely for lack of (shared) memory: start the container with --shm-size=8g, or "
    "use --num-worker 0"
)
NO_MEMORY = "out of memory (RAM): smaller --batch-size, --test-batch-size or --num-worker, or shorter clips"
LOST = (
    "another process of this run ended, or its machine is gone; its own message, or torchrun's, tells why. The same "
    "line with --resume goes on from last.ckpt"
)
# of Gloo and NCCL
LOST_WORDS = re.compile(
    r"Connection (closed|reset) by peer|Broken pipe|Timed out waiting \d+ ?ms|remote process exited"
)
ONE_CLIP = (
    "the network's batch norm cannot train on a single clip at once: --forward-batch-size 2 or more, of a --batch-size "
    "that is a multiple of it"
)
NO_READER = (
    "nobody reads what is printed any more, as behind `| head`; a training goes on with --resume, with its output in a "
    "file"
)
NO_TEMPORARY = (
    "there is no folder for temporary files: start a --read-only container with --tmpfs /tmp, or set TMPDIR to a "
    "folder that can be written to"
)


def explained(program: Callable[[], int]) -> int:
    """Run ``program``; what it raises becomes a line on stderr and an exit code, if it is a failure with a known cause.

    ``SKELETON_LAB_TRACEBACK=1`` lets everything through.
    """
    try:
        return program()
    except Stopped as stopped:
        name = signal.Signals(stopped.signum).name
        return _told(f"stopped by {name}; a training goes on with --resume", 128 + stopped.signum)
    except Exception as error:
        known = None if os.environ.get("SKELETON_LAB_TRACEBACK") else _known(error)
        if known is None:
            raise
        return _told(f"error: {known[0]}", known[1])


def _told(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


def _known(error: Exception) -> tuple[str, int] | None:
    """The line and the exit code, or None: it is for ``guarded``, or a bug."""
    if isinstance(error, Diverged):
        return one_line(error), FAILURE
    if isinstance(error, LabError):
        return (_last_line(error), USAGE) if _of_worker(error) else None
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):  # of batch norm
        return ONE_CLIP, USAGE
    if isinstance(error, (MemoryError, RuntimeError)):
        reason = _resources(error)
        return None if reason is None else (reason, FAILURE)
    return None


def _of_worker(error: BaseException) -> bool:
    """Whether a loader process sent it, with its whole traceback."""
    return "Original Traceback" in str(error)


def _last_line(error: BaseException) -> str:
    """The message that a loader process ended with."""
    return one_line(Exception(str(error).strip().splitlines()[-1].partition(": ")[2]))


def _system(error: OSError) -> tuple[str, int]:
    """An OSError is about a file, or about what a process needs."""
    if _of_worker(error):
        return f"{_last_line(error)}; finished checkpoints are intact", USAGE
    if isinstance(error, BrokenPipeError) and error.filename is None:
        return NO_READER, FAILURE
    if "No usable temporary directory" in str(error):
        return NO_TEMPORARY, USAGE
    if error.errno in (errno.ENOMEM, errno.EAGAIN):
        return NO_MEMORY, FAILURE
    if error.errno == errno.ENOSPC and error.filename is None and _little_shared():
        return NO_SHARED, FAILURE
    gone = " (moved or deleted during the run?)" if error.errno in GONE else ""
    place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "work dir"
    return f"{place}: {error.strerror or one_line(error)}{gone}; finished checkpoints are intact", USAGE


def _little_shared() -> bool:
    try:
        return shutil.disk_usage(SHARED).free < LITTLE
    except OSError:
        return True


def _resources(error: BaseException) -> str | None:
    """Memory, workers and other processes, which PyTorch complains about in many words."""
    text = str(error)
    if re.search(r"DataLoader worker .*(killed|exited)|shared memory|shm_open|/torch_\d+_", text) or (
        "bus error" in text.lower()
    ):
        return NO_SHARED
    if isinstance(error, MemoryError) or re.search(
        r"DefaultCPUAllocator|[Cc]an(no|')t allocate memory|MemoryError|can't start new thread", text
    ):
        return NO_MEMORY
    from skeleton_lab.engine.out_of_memory import is_out_of_memory  # here: mistakes on the command line need no PyTorch

    if is_out_of_memory(error):
        return f"out of GPU memory: {one_line(error)[:200]}"
    if LOST_WORDS.search(text):
        return LOST
    return None
