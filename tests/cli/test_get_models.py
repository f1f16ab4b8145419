"""ST-GCN's tools/get_models.sh: says what is there and what cannot be downloaded any more (st-models)."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from places import ROOT

SCRIPT = ROOT / "ST-GCN" / "tools" / "get_models.sh"
NAMES = ("kinetics", "ntu-xview", "ntu-xsub")


@pytest.mark.parametrize("where", [".", "tools"])
def test_from_the_room_and_from_tools(tmp_path, where):
    (tmp_path / "tools").mkdir()
    shutil.copy(SCRIPT, tmp_path / "tools")
    script = (tmp_path / "tools" / SCRIPT.name).relative_to(tmp_path / where)

    def call():
        return subprocess.run(["bash", str(script)], cwd=tmp_path / where, capture_output=True, text=True)

    done = call()
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert all(f"st_gcn.{name}.pt" in done.stderr for name in NAMES) and "--weights" in done.stderr
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "st_gcn.ntu-xsub.pt").touch()
    done = call()
    assert "st_gcn.ntu-xsub.pt is there" in done.stdout and "ntu-xsub.pt cannot" not in done.stderr
    for name in NAMES:
        (tmp_path / "models" / f"st_gcn.{name}.pt").touch()
    done = call()
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 3)
