#!/usr/bin/env bash
# Question: a program imports submitit in the middle, where it first needs a cluster. Does the import touch what other
#   libraries have set up for logging before?
# Good guess: no; its configuration says `disable_existing_loggers: False`, and an import only defines things.
# What happens: yes. The import calls logging.config.dictConfig, which closes every handler of the process before it makes
#   its own. absl's handler (absl-py comes with TensorBoard, JAX, Orbax) closes the stream it was made with where sys.stderr
#   is another by now: under a test runner that replaces sys.stderr per test, that is the runner's own file, and every test
#   after it fails with "I/O operation on closed file". SUBMITIT_LOG_LEVEL=NOCONFIG during the import leaves all as it was.
# submitit 1.5.4, absl-py 2.5.1, 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check submitit==1.5.4 absl-py==2.5.1
cat >"$folder/look.py" <<'PYTHON'
import io
import logging
import sys
from importlib.metadata import version

own = sys.stderr
first = sys.stderr = io.StringIO()  # as a test runner does
import absl.logging  # noqa: E402, F401

sys.stderr = io.StringIO()  # for the next test
closed = []
handler = logging.StreamHandler(io.StringIO())
handler.close = lambda: closed.append(True)
import submitit  # noqa: E402, F401

sys.stderr = own
print("submitit", version("submitit"), "absl-py", version("absl-py"), end="; ")
print("a handler of others was closed:", bool(closed), "; absl's stream was closed:", first.closed)
sys.exit(0 if bool(closed) == first.closed == (sys.argv[1] == "touched") else "this has changed")
PYTHON
"$folder/venv/bin/python" "$folder/look.py" touched
SUBMITIT_LOG_LEVEL=NOCONFIG "$folder/venv/bin/python" "$folder/look.py" left
