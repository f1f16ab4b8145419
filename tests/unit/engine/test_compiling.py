"""``--compile``: which compiler it needs, and that nothing of it is left in the weights."""

from __future__ import annotations

import sys

import pytest
import torch
from toy_room import arguments, call, make_room, same, start, weights

from skeleton_lab.engine.compiling import missing_compiler

NET = """
from model import toy_net


class Model(toy_net.Model):
    \"\"\"Without counting its calls: the compiler of the images' PyTorch cannot add a truth value to a number.\"\"\"

    def forward(self, x):
        return self.fc(self.hidden(self.norm(x.mean(2).flatten(1))).relu())
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """``machine("gcc", ...)``: a PATH with these programs alone."""

    def with_programs(*names: str) -> None:
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        for variable in ("CC", "CXX"):
            monkeypatch.delenv(variable, raising=False)

    return with_programs


@pytest.mark.skipif(sys.platform == "darwin", reason="the names are those of Linux")
def test_the_compiler_that_the_device_needs(machine, monkeypatch):
    machine()
    assert missing_compiler("cpu") == "a C++ compiler (g++)"
    assert missing_compiler("cuda") == "a C compiler (gcc or clang)"
    machine("gcc")
    assert missing_compiler("cuda") is None and missing_compiler("cpu") is not None
    monkeypatch.setenv("CXX", "my-compiler")
    assert missing_compiler("cpu") == "a C++ compiler (my-compiler)"
    machine("g++")
    assert missing_compiler("cpu") is None


def test_without_a_compiler_a_line_says_so(tmp_path, machine, capsys):
    machine()
    assert call(make_room(tmp_path / "room"), arguments(tmp_path / "run", "--compile")) == 2
    assert "error: --compile needs a C++ compiler" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(missing_compiler("cpu") is not None, reason="no C++ compiler")
def test_compiled_weights_have_the_networks_names_and_values(tmp_path):
    room = make_room(tmp_path / "room")
    (room / "model" / "net.py").write_text(NET)
    words = ("--model", "model.net.Model")
    for name, more in (("plain", ()), ("compiled", ("--compile",))):
        program = start(room, arguments(tmp_path / name, *words, *more))
        out, err = program.communicate()
        assert program.returncode == 0, out + err
    plain, compiled = (weights(sorted((tmp_path / name).glob("runs-*.pt"))[-1]) for name in ("plain", "compiled"))
    assert list(compiled) == list(plain) and not same(compiled, {key: torch.zeros_like(v) for key, v in plain.items()})
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-5, msg=name)
