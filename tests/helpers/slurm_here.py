"""SLURM on this machine alone, for as long as a block lasts; and a study whose jobs are taken away and put back.

    python tests/helpers/slurm_here.py

Needs root and Debian's ``slurmctld slurmd slurm-client munge``, which nothing has to have started or configured. The
program submits an array of two runs: one is put back by ``scontrol requeue``, the other runs into its time limit; both
go on where they had saved. Four minutes, two of which SLURM lets a job wait that was put back.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from skeleton_lab.utils.cli import Parser

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
CONF = """\
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={at}/munge.sock
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool
SlurmctldPidFile={at}/ctld.pid
SlurmdPidFile={at}/d.pid
SlurmctldLogFile={at}/ctld.log
SlurmdLogFile={at}/d.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=main Nodes={host} Default=YES State=UP OverSubscribe=FORCE:8
"""


def lacks() -> str:
    """What keeps SLURM from being started here; empty where nothing does."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"there is no {missing[0]}" if missing else "" if os.geteuid() == 0 else "only root can start SLURM"


@contextlib.contextmanager
def slurm() -> Iterator[None]:
    """Inside, ``sbatch`` and its kin speak to a cluster of this machine."""
    at = Path(tempfile.mkdtemp(prefix="slurm_"))
    for name in ("state", "spool"):
        (at / name).mkdir()
    (at / "munge.key").write_bytes(os.urandom(128))
    (at / "munge.key").chmod(0o400)
    (at / "slurm.conf").write_text(CONF.format(at=at, host=platform.node()))
    munge = ["munged", "--force", "--foreground", f"--key-file={at}/munge.key", f"--socket={at}/munge.sock",
             f"--pid-file={at}/munge.pid", f"--log-file={at}/munge.log", f"--seed-file={at}/munge.seed"]  # fmt: skip
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(at / "slurm.conf")
    running: list[subprocess.Popen] = []
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(1)
        wait_for(
            lambda: b"idle" in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, check=False).stdout
        )
        yield
    finally:
        subprocess.run(["scancel", "--user=root"], check=False)
        for process in reversed(running):
            process.terminate()
            process.wait()
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(at, ignore_errors=True)


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("it does not happen")
        time.sleep(0.2)


def epochs(folder: Path) -> list[int]:
    """That a run has trained, in the order in which it has."""
    lines = (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").exists() else []
    return [event["epoch"] for event in map(json.loads, lines) if event["event"] == "epoch"]


def main(argv: list[str] | None = None) -> int:
    Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    if why := lacks():
        raise SystemExit(why)
    here = Path(tempfile.mkdtemp(prefix="slurm_study_"))
    limits = {"partition": "main", "timeout_min": 1, "signal_delay_s": 20, "cpus_per_task": 1}
    study = {"out": "out", "rooms": ["CTR-GCN"], "seeds": [1, 2], "engine": "submitit", "slurm": limits}
    study["flags"] = {"num_epoch": 4, "device": "cpu"}
    (here / "study.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, str(Path(__file__).with_name("fake_sweep.py")), "study.yaml"]
    folders = [here / "out" / "runs" / f"CTR-GCN-joint-seed{seed}" for seed in (1, 2)]
    with slurm():
        begun = time.monotonic()
        sweep = subprocess.Popen(command, cwd=here, env={**os.environ, "FAKE_HOLD": "3"})
        wait_for(lambda: [epochs(folder) for folder in folders] == [[1, 2]] * 2)
        numbers = json.loads((here / "out" / "jobs.json").read_text())
        print(f"{time.monotonic() - begun:.0f} s: jobs {numbers}, two epochs each", flush=True)
        subprocess.run(["scontrol", "requeue", numbers[folders[0].name]], check=True)
        code = sweep.wait()
        print(f"{time.monotonic() - begun:.0f} s: the sweep ended with {code}")
    arrays = {number.split("_")[0] for number in numbers.values()}
    whole = all(epochs(folder) == [1, 2, 3, 4] for folder in folders)
    starts = [[line.split()[0] for line in (folder / "starts").read_text().splitlines()] for folder in folders]
    print(f"epochs {[epochs(folder) for folder in folders]}, starts behind epochs {starts}")
    good = code == 0 and len(arrays) == 1 and whole and all(len(each) == 2 for each in starts)
    print("both went on where they had saved" if good else f"WRONG: see {here}")
    if good:
        shutil.rmtree(here)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
