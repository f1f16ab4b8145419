"""docs/deploy.md, block by block: predicting, a program in Python, one in C++, and a page in Chromium."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import os
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
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_files
from places import ROOT
from predict_bench import walkers
from tiny_data import make_all

from skeleton_lab import cli, create_model
from skeleton_lab.data.synthetic import archive

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
    assert list(scripts()) == ["classify.py", "clip.py"]
    run_script(root, "clip.py", scripts()["clip.py"])
    (root / "printed.txt").write_text(run_script(root, "classify.py", scripts()["classify.py"]))
    return root


def scripts() -> dict[str, str]:
    return {re.match(r"# (\w+\.py):", block)[1]: block for block in blocks("python")}


def run_script(folder: Path, name: str, text: str) -> str:
    """What it prints, run in the folder in this process."""
    (folder / name).write_text(text)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        runpy.run_path(name)
    return printed.getvalue()


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
def runtime(tmp_path_factory) -> Path:
    """The three files of onnxruntime-web that the page loads, by npm, kept for the next time."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on PATH: onnxruntime-web is not there")
    kept = Path.home() / ".cache" / "skeleton-lab-tests" / f"{WEB[1]}-{WEB[2]}"
    if not all((kept / name).is_file() for name in DIST):
        kept.mkdir(parents=True, exist_ok=True)
        folder = tmp_path_factory.mktemp("npm")
        packed = subprocess.run(
            ["npm", "pack", f"{WEB[1]}@{WEB[2]}", "--pack-destination", folder], cwd=folder, capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip
        if packed.returncode:
            pytest.skip(f"npm has no {WEB[0]}: {packed.stderr.strip()[-200:]}")
        with tarfile.open(next(folder.glob("onnxruntime-web-*.tgz"))) as packed_files:
            for name in DIST:
                (kept / name).write_bytes(packed_files.extractfile(f"package/dist/{name}").read())
    return kept


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """The folder of a page, with the demo's CTR-GCN after a few steps as ``network.onnx``, its ``weights.pt``, and the
    demo's archive, of few clips."""
    made, work = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("demo")
    archive.write(work / "NTU60_CS.npz", train=20, test=4, classes=5, progress=False)
    (made / "NTU60_CS.npz").symlink_to(work / "NTU60_CS.npz")
    command = ["bash", str(ROOT / "tools/demo_room.sh"), "CTR-GCN", "--num-epoch", "2", "--batch-size", "5",
               "--warm_up_epoch", "0", "--step", "2", "--report", "False"]  # fmt: skip
    environment = os.environ | {"DEMO": str(work), "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    [weights] = (work / "ctrgcn").glob("runs-2-*.pt")
    (made / "weights.pt").symlink_to(weights)
    exported = cli.main(["export", "CTR-GCN", "--weights", str(weights), "--output", str(made / "network.onnx")])
    if exported == 2 and tuple(map(int, torch.__version__.split(".")[:2])) < (2, 5):
        pytest.skip("this PyTorch writes operators up to version 17 only")
    assert exported == 0
    return made


@pytest.fixture(scope="module")
def web(runtime, demo) -> Path:
    """onnxruntime-web beside the page."""
    place = demo / "node_modules" / "onnxruntime-web" / "dist"
    place.mkdir(parents=True)
    for name in DIST:
        (place / name).symlink_to(runtime / name)
    return demo


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
def test_a_page_classifies_clips_by_the_network_of_the_demo(web, served):
    """Logits in WebAssembly are PyTorch's, the best classes are listed, and no other host is asked."""
    [page] = blocks("html")
    (web / "index.html").write_text(page)
    net = create_model("ctrgcn", web / "weights.pt").eval()
    seen = []
    for row in (0, 3):
        run_script(web, "clip.py", scripts()["clip.py"].replace('"test", None, [0]', f'"test", None, [{row}]'))
        with torch.no_grad():
            expected = net(torch.from_numpy(np.load(web / "clip.npz")["clips"]))[0].numpy()
        logits, rows = said(served, width=375)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * max(1, np.abs(expected).max()))
        classes = json.loads((web / "about.json").read_text())["classes"]
        assert [row.split(":")[0] for row in rows] == [classes[k] for k in np.argsort(-expected)[:5]]
        seen.append(expected)
    assert np.abs(seen[0] - seen[1]).max() > 0.01  # of two clips
    (web / "network.onnx").rename(web / "elsewhere.onnx")
    with browser.Tab(Address(f"{served}/index.html")) as tab:
        assert "It did not work" in ended(tab)


def said(served: str, width: int) -> tuple[list[float], list[str]]:
    """The logits of the page, and its list, on a screen so wide."""
    with browser.Tab(Address(f"{served}/index.html"), width=width) as tab:
        state = ended(tab)
        assert state.endswith(" ms"), state
        assert tab.run("return document.documentElement.scrollWidth;") <= width
        assert all(address.startswith((served, "blob:", "data:")) for address in tab.requests), tab.requests
        return (
            tab.run("return window.logits;"),
            tab.run("return [...document.querySelectorAll('li')].map((row) => row.textContent);"),
        )


def ended(tab: browser.Tab) -> str:
    """What the page says when it has answered, or could not."""
    tab.run("for (let k = 0; k < 600 && !/ ms$|not work/.test(state.textContent); k++) "
            "await new Promise((go) => setTimeout(go, 100));")  # fmt: skip
    return tab.run("return state.textContent;")


class Address(str):
    """What a tab is opened with, where it is no file."""

    def as_uri(self) -> str:
        return self
