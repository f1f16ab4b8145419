"""One version: that of pyproject.toml, which the package tells, the changelog describes and a tag repeats."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata

import pytest
from places import ROOT

import skeleton_lab

WRITTEN = re.search(r'^version = "(.*?)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)[1]


def test_the_package_tells_the_version_of_pyproject():
    assert skeleton_lab.__version__ == metadata.version("skeleton-lab") == WRITTEN, "`make setup` installs it anew"


def test_a_folder_that_is_not_installed_has_no_version(monkeypatch):
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert skeleton_lab.__version__ == "0+unknown"


def test_the_changelog_describes_it():
    """Between releases what is not released stands on top; a release has a heading of its own."""
    headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    released, dev, _ = WRITTEN.partition(".dev")
    assert headings[0] == ("Unreleased" if dev else WRITTEN)
    assert not dev or released not in headings
    assert headings[-1] == "0.1.0"


def test_a_tagged_commit_has_the_version_of_its_tag():
    told = subprocess.run(["git", "tag", "--points-at", "HEAD", "v*"], cwd=ROOT, capture_output=True, text=True)
    if told.returncode:
        pytest.skip("there is no git repository here")
    assert all(tag == f"v{WRITTEN}" for tag in told.stdout.split())
