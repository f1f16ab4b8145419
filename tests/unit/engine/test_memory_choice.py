"""``--memory``: the order of settings, what is chosen, what stays, and how a run that goes on keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toy_room
import yaml

from skeleton_lab.engine.distributed import make_fabric, set_precision
from skeleton_lab.engine.memory import budget, choice
from skeleton_lab.engine.memory.forecast import GIB
from skeleton_lab.engine.memory.settings import Settings, ways
from skeleton_lab.utils import memory

RECIPE = Settings(12, False, "32")


def test_settings_come_in_the_order_of_what_they_change():
    tried = list(ways(RECIPE, True, "bf16-mixed"))
    assert [(s.forward, s.checkpointing) for s in tried if s.precision == "32"] == [
        (12, False), (12, True), (6, False), (6, True), (3, False), (3, True), (1, False), (1, True),
    ]  # fmt: skip
    assert tried[0].flags(RECIPE) == "" and tried[1].flags(RECIPE) == "--activation-checkpointing"
    assert [s.same_numbers(RECIPE) for s in tried] == [True, True] + [False] * 14
    assert tried[8].flags(RECIPE) == "--precision bf16-mixed"
    assert {s.precision for s in ways(RECIPE, True, None)} == {"32"}


def test_what_the_user_gave_stays():
    assert list(ways(RECIPE, True, "bf16-mixed", {"forward", "checkpointing", "precision"})) == [RECIPE]
    kept = list(ways(RECIPE, True, "bf16-mixed", {"forward"}))
    assert {way.forward for way in kept} == {12} and len(kept) == 4
    assert not any(way.checkpointing for way in ways(RECIPE, True, None, {"checkpointing"}))
    assert {way.precision for way in ways(Settings(4, False, "64"), True, "16-mixed")} == {"64"}


def test_the_first_that_fits_is_taken_else_the_least():
    def need(way: Settings) -> float:
        return way.forward / (2 if way.checkpointing else 1)

    found = choice.choose(ways(RECIPE, True, None), need, 6)
    assert (found.settings, found.need, found.published, found.fits) == (Settings(12, True, "32"), 6, 12, True)
    assert choice.choose(ways(RECIPE, True, None), need, 2.5).settings == Settings(3, True, "32")
    nothing = choice.choose(ways(RECIPE, True, None), need, 0.4)
    assert (nothing.settings, nothing.need, nothing.fits) == (Settings(1, True, "32"), 0.5, False)


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_limits_what_is_free(tmp_path, version):
    (tmp_path / "proc/self").mkdir(parents=True)
    mounts = {1: "cgroup/memory ro - cgroup cgroup rw,memory", 2: "cgroup rw - cgroup2 cgroup rw"}
    (tmp_path / "proc/self/mountinfo").write_text(f"31 23 0:28 / /sys/fs/{mounts[version]}\n")
    (tmp_path / "proc/self/cgroup").write_text({1: "4:memory:/\n0::/\n", 2: "0::/\n"}[version])
    folder = tmp_path / {1: "sys/fs/cgroup/memory", 2: "sys/fs/cgroup"}[version]
    folder.mkdir(parents=True)
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"), 2: ("memory.max", "memory.current", "")}
    limit, used, prefix = names[version]
    (folder / limit).write_text("3000000\n")
    (folder / used).write_text("2500000\n")
    (folder / "memory.stat").write_text(f"anon 5\n{prefix}inactive_file 1000000\n")
    assert memory.available(tmp_path) == 1_500_000, "cached files make room"
    (folder / limit).write_text("max\n")
    assert memory.available(tmp_path) > 2**24


def test_processes_share_the_memory_of_a_cpu(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(budget.memory, "available", lambda: 8 * GIB)
    cpu = torch.device("cpu")
    assert budget.to_spend(cpu, 6.0) == 1.5 * GIB
    assert 2 * GIB < budget.to_spend(cpu, "auto") < 2 * GIB + 8 * GIB
    assert budget.half(cpu) is None


def test_the_arithmetic_can_be_chosen_late():
    fabric = make_fabric("cpu", [], "32-true")
    set_precision(fabric, "cpu", "bf16-mixed")
    net = fabric.setup_module(torch.nn.Linear(4, 3))
    assert net(torch.zeros(2, 4)).dtype == torch.float32, "outputs are given back in single precision"
    with fabric.autocast():
        assert torch.mm(torch.zeros(2, 2), torch.zeros(2, 2)).dtype == torch.bfloat16


# --- runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """(flags) -> exit code of a toy run, and its log; Python itself takes nothing."""
    monkeypatch.setattr(budget, "around", lambda device: 0.0)
    monkeypatch.setattr(budget, "half", lambda device: "bf16-mixed")
    room = toy_room.make_room(tmp_path / "room")

    def call(*more: str, work: str = "work") -> tuple[int, Path]:
        folder = tmp_path / work
        return toy_room.call(room, toy_room.arguments(folder, *more)), folder

    return call


def said(work: Path) -> list[str]:
    return [line.partition("] ")[2] for line in (work / "log.txt").read_text().splitlines() if "--memory" in line]


def settings(work: Path) -> Settings:
    read = yaml.safe_load((work / "config.yaml").read_text())
    assert read["memory"] is None, "the file has what was chosen, and chooses no more"
    return Settings(read["forward_batch_size"], read["activation_checkpointing"], read["precision"])


def test_a_run_that_fits_is_the_run_without_the_flag(lab):
    (_, plain), (code, chosen) = lab(work="plain"), lab("--memory", "auto")
    assert code == 0 and said(chosen)[0].startswith("--memory auto: nothing added: forecast")
    assert settings(chosen) == Settings(8, False, "32")
    assert toy_room.same(*(toy_room.weights(work / "runs-2-4.pt") for work in (plain, chosen)))


def test_a_run_that_does_not_fit_gets_a_smaller_forward_batch_and_keeps_it(lab, capsys, monkeypatch):
    monkeypatch.setattr(choice.Counts, "training", lambda self, way: way.forward * GIB)
    code, work = lab("--memory", "4.5")
    assert code == 0
    assert (
        said(work)[0] == "--memory 4.5: --forward-batch-size 4 added: forecast 4 GiB, to spend 4.5 GiB (without 8 GiB)"
    )
    assert settings(work) == Settings(4, False, "32")
    code, _ = lab("--memory", "4.5", "--resume", "--num-epoch", "3")
    kept = "--memory 4.5: the settings of the earlier run: --forward-batch-size 4; another amount would choose anew"
    assert code == 0 and said(work)[-1] == kept and settings(work).forward == 4
    code, _ = lab("--memory", "2", "--resume", "--num-epoch", "4")
    text = (work / "log.txt").read_text()
    assert code == 0 and settings(work).forward == 2 and "--resume: forward_batch_size was 4 and is 2 now" in text
    capsys.readouterr()
    assert lab("--memory", "0.5", "--forward-batch-size", "2")[0] == 2
    err = capsys.readouterr().err
    assert "the run as it was asked for needs 2 GiB of 0.5 GiB" in err and err.count("\n") == 1


def test_half_floats_come_last_and_stay_to_the_end(lab, monkeypatch):
    monkeypatch.setattr(
        choice.Counts, "training", lambda self, way: way.forward / (1 + 15 * (way.precision != "32")) * GIB
    )
    code, work = lab("--memory", "0.5")
    assert code == 0 and settings(work) == Settings(8, False, "bf16-mixed")
    code, _ = lab("--memory", "0.5", "--resume", "--num-epoch", "3")
    assert code == 0 and settings(work) == Settings(8, False, "bf16-mixed")
    code, _ = lab("--memory", "40", "--resume", "--num-epoch", "4")
    assert code == 0 and settings(work) == Settings(8, False, "bf16-mixed"), "a run keeps its arithmetic"


def test_auto_tries_the_least_where_nothing_fits(lab, monkeypatch):
    monkeypatch.setattr(choice.Counts, "training", lambda self, way: (way.forward + 1000) * GIB)
    monkeypatch.setattr(budget.memory, "available", lambda: GIB)
    code, work = lab("--memory", "auto", "--model-args", "norm=False")
    assert code == 0 and said(work)[0].startswith("--memory auto: does not fit: the least, with --forward-batch-size 1")
    assert settings(work).forward == 1


def test_a_network_that_cannot_be_counted_trains_as_it_is(lab):
    code, work = lab("--memory", "auto", "--model-args", "limit=3")  # full with more than three clips
    assert code == 0 and "no forecast for model.toy_net.Model" in said(work)[0]


def test_an_evaluation_takes_the_clips_that_fit(lab, monkeypatch):
    _, work = lab()
    monkeypatch.setattr(choice, "forecast", lambda *a, **k: Few())
    code, test = lab("--phase", "test", "--weights", str(work / "runs-2-4.pt"), "--memory", "3", work="test")
    assert code == 0 and "--memory 3: evaluation takes 3 clips at a time" in said(test)[0]
    before, after = (toy_room.events(folder, "eval")[-1]["top1"] for folder in (work, test))
    assert before == after


def test_a_test_in_which_no_clip_fits_says_so(lab, capsys, monkeypatch):
    _, work = lab()
    monkeypatch.setattr(choice, "forecast", lambda *a, **k: Few())
    line = ["--phase", "test", "--weights", str(work / "runs-2-4.pt")]
    capsys.readouterr()
    assert lab(*line, "--memory", "0.5", work="named")[0] == 2
    told = "does not fit even in the smallest pieces: forecast 1 GiB, to spend 0.5 GiB"
    assert capsys.readouterr().err == f"error: --memory 0.5: {told}\n"
    monkeypatch.setattr(budget, "to_spend", lambda device, asked: GIB / 2)
    code, test = lab(*line, "--memory", "auto", work="auto")
    assert code == 0 and said(test)[0] == f"--memory auto: {told}", "it is tried"


class Few:
    """A forecast of a GiB a clip."""

    def step_bytes(self, clips: int, around: float) -> float:
        return clips * GIB

    def scaled(self, share: float) -> Few:
        return self


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "much", "1e9"])
def test_amounts_that_are_none(lab, capsys, amount):
    assert lab(f"--memory={amount}")[0] == 2
    assert "auto, or GiB above 0" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_choose_the_same(tmp_path):
    room = toy_room.make_room(tmp_path / "room")
    done = toy_room.torchrun(room, toy_room.arguments(tmp_path / "work", "--memory", "auto"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("--memory auto: nothing added") == 1
