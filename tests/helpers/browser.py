"""Pages in a real browser: headless chromium, driven over its debugging pipe, without a driver to install."""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: pages are not driven")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
WRONG = "window.wrong = []; addEventListener('error', (event) => wrong.push(event.message));"  # for scripts of tests
CODES = {" ": ("Space", 32), "Tab": ("Tab", 9), "Enter": ("Enter", 13), ",": ("Comma", 188), ".": ("Period", 190),
         "Escape": ("Escape", 27), "End": ("End", 35), "Home": ("Home", 36), "ArrowLeft": ("ArrowLeft", 37),
         "ArrowUp": ("ArrowUp", 38), "ArrowRight": ("ArrowRight", 39), "ArrowDown": ("ArrowDown", 40)}  # fmt: skip
TEXTS = {"Enter": "\r"}  # what a key types, where it is not its name
PATIENCE = 120  # seconds for an answer, on a busy machine


class Chromium:
    """A browser process; messages are JSON with a zero byte behind, through its file descriptors 3 and 4."""

    def __init__(self) -> None:
        self.profile = tempfile.mkdtemp(prefix="chromium-")
        theirs, self.out = os.pipe()
        self.back, answers = os.pipe()
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"]
        wired = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{answers}', "chromium", *command]
        self.process = subprocess.Popen(
            wired, pass_fds=(theirs, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs)
        os.close(answers)
        self.told, self.count, self.rest = [], 0, b""

    def call(self, method: str, session: str | None = None, **params: Any) -> dict:
        """The answer to a command; the events that arrive before it are kept in ``told``."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        for answer in self.messages():
            if answer.get("id") == self.count:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self.told.append(answer)
        raise AssertionError(f"no answer of chromium to {method}")

    def messages(self) -> Iterator[dict]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            while b"\0" in self.rest:
                message, _, self.rest = self.rest.partition(b"\0")
                yield json.loads(message)
            if select.select([self.back], [], [], max(0, end - time.monotonic()))[0]:
                part = os.read(self.back, 1 << 20)
                if not part:
                    return
                self.rest += part

    def close(self) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        self.process.wait(PATIENCE)
        for end in (self.out, self.back):
            os.close(end)
        shutil.rmtree(self.profile, ignore_errors=True)


@functools.cache
def browser() -> Chromium:
    """The one of this process."""
    made = Chromium()
    atexit.register(made.close)
    return made


class Tab:
    """A page, as it is on disk. ``errors``: what its console and its policy complain of; ``requests``: what it gets."""

    def __init__(self, page: Path, width: int = 1200, height: int = 900, dark: bool = False):
        self.browser = browser()
        target = self.browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.target = target
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=WRONG)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.address = page.as_uri()
        self.call("Page.navigate", url=self.address)
        self.run("if (document.readyState !== 'complete') await new Promise((go) => addEventListener('load', go));")

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)
        self.browser.told = [event for event in self.browser.told if event.get("sessionId") != self.session]

    def call(self, method: str, **params: Any) -> dict:
        return self.browser.call(method, self.session, **params)

    def run(self, script: str) -> Any:
        """What the body of an async function returns in the page."""
        told = self.call("Runtime.evaluate", expression=f"(async () => {{{script}}})()", awaitPromise=True,
                         returnByValue=True)  # fmt: skip
        assert "exceptionDetails" not in told, told["exceptionDetails"].get("exception", told)
        return told["result"].get("value")

    def press(self, *keys: str) -> None:
        """Keys one after the other, as a keyboard sends them; ``Shift+Tab`` holds one."""
        for name in keys:
            key = name.removeprefix("Shift+")
            code, number = CODES[key]
            text = TEXTS.get(key, key if len(key) == 1 else "")
            given = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 * (key != name)}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **given, text=text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def screenshot(self, path: Path, whole: bool = True) -> Path:
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def _events(self, *methods: str) -> list[dict]:
        mine = [event for event in self.browser.told if event.get("sessionId") == self.session]
        return [event["params"] for event in mine if event.get("method") in methods]

    @property
    def errors(self) -> list[str]:
        thrown = [json.dumps(event["exceptionDetails"]) for event in self._events("Runtime.exceptionThrown")]
        said = [json.dumps(event["args"]) for event in self._events("Runtime.consoleAPICalled")]
        return thrown + said + [event["entry"]["text"] for event in self._events("Log.entryAdded")]

    @property
    def requests(self) -> list[str]:
        addresses = [event["request"]["url"] for event in self._events("Network.requestWillBeSent")]
        return [address for address in addresses if address.partition("#")[0] != self.address]


def dumped(page: Path, width: int = 1200) -> str:
    """The document after its scripts have run."""
    with Tab(page, width) as tab:
        return tab.run("return document.documentElement.outerHTML;")


def driven(page: Path, script: str, width: int = 1200) -> Any:
    """What ``script``, the body of an async function, returns in the page; its errors fail the test."""
    with Tab(page, width) as tab:
        return tab.run(script)
