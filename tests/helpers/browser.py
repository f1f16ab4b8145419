"""Pages in a real browser: headless chromium, without a driver. A script is put into a copy of the page."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: pages are not driven")
DONE = """<script>(async () => {
let told;
try { told = await (async () => { %s })(); } catch (error) { told = {error: String(error)}; }
const box = document.createElement("pre");
box.id = "told";
box.textContent = JSON.stringify(told ?? null);
document.body.append(box);
})();</script>"""


def dumped(page: Path, width: int = 1200) -> str:
    """The document after its scripts have run."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'chromium'}",
        f"--window-size={width},1000", "--virtual-time-budget=4000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout


def driven(page: Path, script: str, width: int = 1200) -> Any:
    """What ``script``, the body of an async function, returns in the page; its errors fail the test."""
    text = page.read_text("utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    errors = "<script>window.wrong = []; addEventListener('error', (event) => wrong.push(event.message));</script>"
    copy = page.with_name(f"driven-{page.name}")
    copy.write_text(text.replace("<head>", f"<head>{errors}").replace("</body>", DONE % script + "</body>"), "utf-8")
    found = re.search(r'<pre id="told">(.*?)</pre>', dumped(copy, width), re.S)
    assert found, "the page's script did not come to its end"
    told = json.loads(html.unescape(found[1]))
    assert not (isinstance(told, dict) and "error" in told), told
    return told
