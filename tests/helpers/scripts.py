"""Programs as a user starts them, but in this process: importing torch for each would take most of a test's time."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import sys
from pathlib import Path
from subprocess import CompletedProcess


def run_script(path: Path, *words: object, cwd: Path) -> CompletedProcess[str]:
    """``cd CWD && python PATH WORDS``; the room's own modules are forgotten afterwards."""
    out, err = io.StringIO(), io.StringIO()
    argv, search, folder, known = sys.argv, list(sys.path), Path.cwd(), set(sys.modules)
    sys.argv = [str(path), *map(str, words)]
    sys.path.insert(0, str(path.parent))
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _code(path)
    finally:
        os.chdir(folder)
        sys.argv, sys.path[:] = argv, search
        for name in set(sys.modules) - known:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(path.parent):
                del sys.modules[name]
    return CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def _code(path: Path) -> int:
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
