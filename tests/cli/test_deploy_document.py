"""docs/deploy.md, block by block: predicting, a program in Python, one in C++, and a page in Chromium."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import browser
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_files
import onnxruntime
from places import ROOT
from predict_bench import walkers
from tiny_data import make_all

from skeleton_lab import cli

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "deploy.md").read_text()
WEB = re.search(r"^npm install (onnxruntime-web)@(\S+)$", DOCUMENT, re.M)
DIST = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT, re.S | re.M)
    return [block for name, block in fenced if name == language]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with what the page speaks of, and what its Python writes there."""
    root = make_all(tmp_path_factory.mktemp("deploy"))
    onnx_files.write(root / "network.onnx", feeder_args={"window_size": 16}, classes=[f"action {k}" for k in range(60)])
    (root / "NTU60_CS.npz").symlink_to(root / "data/NTU60_CS.npz")
    np.save(root / "walk.npy", walkers(30, 1))
    scripts = {re.match(r"# (\w+\.py):", block)[1]: block for block in blocks("python")}
    assert list(scripts) == ["classify.py", "clip.py"]
    for name in ("clip.py", "classify.py"):
        (root / name).write_text(scripts[name])
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.chdir(root)
            runpy.run_path(name)
    (root / "printed.txt").write_text(printed.getvalue())
    return root


def answer(folder: Path) -> np.ndarray:
    """What the network says to the clip, by NumPy."""
    return onnx_files.linear(np.load(folder / "clip.npz")["clips"], "CTVM")[0]


def test_python(folder):
    logits = answer(folder)
    best = np.argsort(-logits)[:5]
    assert [line.split("%  ")[1] for line in (folder / "printed.txt").read_text().splitlines()] == [
        f"action {k}" for k in best
    ]
    clip = json.loads((folder / "clip.json").read_text())["clips"]
    assert clip["dims"] == [1, 3, 16, 25, 2] and len(clip["data"]) * 4 == (folder / "clip.f32").stat().st_size


def test_predict(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    lines = [shlex.split(line) for block in blocks("") for line in block.splitlines() if " predict --onnx" in line]
    assert len(lines) == 2
    for words in lines:
        assert cli.main(words[1:]) == 0, words
        out = Path(words[words.index("--output") + 1]) if "--output" in words else Path("work_dir/predict")
        assert json.loads((out / "predictions.json").read_text())["onnx"] == "network.onnx"


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on PATH: the program in C++ is not compiled")
def test_cpp(folder):
    pytest.importorskip("openvino", reason="openvino is not installed: the program in C++ is not compiled")
    [code] = blocks("cpp")
    (folder / "classify.cpp").write_text(code)
    [block] = [block for block in blocks("") if "g++" in block]
    python = f'python() {{ {shlex.quote(sys.executable)} "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-ec", python + block.replace("-O2", "-O0")], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    logits = answer(folder)
    told = [line.split() for line in done.stdout.splitlines()]
    assert [int(k) for k, _ in told] == np.argsort(-logits)[:5].tolist()
    np.testing.assert_allclose([float(value) for _, value in told], np.sort(logits)[:-6:-1], atol=1e-3)


@pytest.fixture(scope="module")
def web(folder) -> Path:
    """onnxruntime-web beside the page: the three files of it that the page loads, by npm, kept for the next time."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on PATH: onnxruntime-web is not there")
    kept = Path.home() / ".cache" / "skeleton-lab-tests" / f"{WEB[1]}-{WEB[2]}"
    if not all((kept / name).is_file() for name in DIST):
        kept.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", f"{WEB[1]}@{WEB[2]}", "--pack-destination", folder], cwd=folder, capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip
        if packed.returncode:
            pytest.skip(f"npm has no {WEB[0]}: {packed.stderr.strip()[-200:]}")
        with tarfile.open(next(folder.glob("onnxruntime-web-*.tgz"))) as archive:
            for name in DIST:
                (kept / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())
    place = folder / "node_modules" / "onnxruntime-web" / "dist"
    place.mkdir(parents=True)
    for name in DIST:
        (place / name).symlink_to(kept / name)
    return folder


@pytest.fixture
def served(web) -> Iterator[str]:
    """The folder's address on loopback."""
    handler = functools.partial(Quiet, directory=web)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@browser.needs_chromium
def test_a_page_classifies_a_clip(web, served):
    """Logits in WebAssembly are onnxruntime's, the best classes are listed, and no other host is asked."""
    [page] = blocks("html")
    (web / "index.html").write_text(page)
    with browser.Tab(Address(f"{served}/index.html"), width=375) as tab:
        tab.run("for (let k = 0; k < 600 && !/ ms$|not work/.test(state.textContent); k++) "
                "await new Promise((go) => setTimeout(go, 100));")  # fmt: skip
        assert tab.run("return state.textContent;").endswith(" ms"), tab.run("return state.textContent;")
        logits = tab.run("return window.logits;")
        rows = tab.run("return [...document.querySelectorAll('li')].map((row) => row.textContent);")
        assert tab.run("return document.documentElement.scrollWidth;") <= 375
        assert all(address.startswith((served, "blob:", "data:")) for address in tab.requests), tab.requests
    session = onnxruntime.InferenceSession(web / "network.onnx")
    expected = session.run(None, dict(np.load(web / "clip.npz")))[0][0]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert [row.split(":")[0] for row in rows] == [f"action {k}" for k in np.argsort(-expected)[:5]]
    (web / "network.onnx").rename(web / "elsewhere.onnx")
    with browser.Tab(Address(f"{served}/index.html")) as tab:
        tab.run("while (!/ ms$|not work/.test(state.textContent)) await new Promise((go) => setTimeout(go, 100));")
        assert "It did not work" in tab.run("return state.textContent;")


class Address(str):
    """What a tab is opened with, where it is no file."""

    def as_uri(self) -> str:
        return self
