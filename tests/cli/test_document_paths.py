"""What documents name is there: files, folders, modules, links, headings, targets of make."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT
from test_extending import FILES

from skeleton_lab import registry

DOCUMENTS = [
    path for path in sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/*.md"))
    if not path.parent.name.startswith((".", "work_dir", "demo"))
]  # fmt: skip
ROOMS = [room.folder for room in registry.ROOMS]
TOP = ("skeleton_lab", "tests", "benchmarks", "dataset_tools", "docker", "docs", "tools", "baselines", "ctrgcn_extras",
       "findings", *ROOMS)  # fmt: skip
INSIDE = ("config", "model", "feeders", "feeder", "graph", "net", "data_gen", "tools", "torchlight")  # of a room
SUBJECT = rf"(?<![\w./$-])(?:{'|'.join(map(re.escape, (*TOP, *INSIDE)))})"
PATHS = re.compile(SUBJECT + r"/[\w./*-]*[\w*/]")
MODULES = re.compile(
    r"(?<![\w./$-])(?:skeleton_lab|benchmarks|tests|model|feeders|feeder|graph|net)(?:\.[A-Za-z_]\w*)+(?![\w/-])"
)
ENDINGS = ("py", "yaml", "md", "sh", "npz", "npy", "csv", "docker", "txt", "html", "pkl", "json", "ipynb")
WRITTEN = re.compile(r"(?:^|/)(?:data|work_dir|sk_feats|text_extractor)(?:/|$)")  # by programs and users
LINK = re.compile(r"\]\(([^)#\s]*)(#[\w-]+)?\)")
INVENTED = {name.partition("/")[2] for name in FILES} | set(FILES)  # the example of docs/extending.md


def code(text: str) -> str:
    """The blocks and the words that are set as code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.S | re.M)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M))])


def places(document: Path) -> list[Path]:
    """The folders that a path of a document may start from: its own, the repository's; outside of rooms any room's."""
    rooms = [] if document.parent.name in ROOMS else [ROOT / room for room in ROOMS]
    return [document.parent, ROOT, *rooms]


def there(name: str, document: Path) -> bool:
    name = name.rstrip("/")
    return name in INVENTED or any(any(folder.glob(name)) for folder in places(document))


def importable(name: str, document: Path) -> bool:
    """Whether a dotted name leads to a module, and what is left of it to an attribute of that."""
    parts = name.split(".")
    if parts[0] in ("skeleton_lab", "benchmarks", "tests"):
        for count in range(len(parts), 0, -1):
            try:
                module = importlib.import_module(".".join(parts[:count]))
            except ModuleNotFoundError:
                continue
            for part in parts[count:]:
                if not hasattr(module, part):
                    return False
                module = getattr(module, part)
            return True
        return False
    wanted = ["/".join(parts[:count]) for count in range(2, len(parts) + 1)]
    return any(f"{name}.py" in INVENTED for name in wanted) or any(
        (folder / f"{name}.py").is_file() for folder in places(document) for name in wanted
    )


def anchors(document: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document):
    text = document.read_text("utf-8")
    told = code(text)
    paths = {name for name in PATHS.findall(told) if not WRITTEN.search(name) and "…" not in name}
    modules = {name for name in MODULES.findall(told) if name.rpartition(".")[2] not in ENDINGS}
    missing = sorted(name for name in paths if not there(name, document))
    missing += sorted(name for name in modules if not importable(name, document))
    for target, anchor in LINK.findall(text):
        if target.startswith(("http:", "https:")):
            continue
        path = (document.parent / target) if target else document
        if not path.exists() or (anchor and anchor[1:] not in anchors(path)):
            missing.append(target + anchor)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    missing += [f"make {name}" for name in re.findall(r"\bmake ([a-z][a-z-]+)", told) if name not in targets]
    assert not missing


@pytest.mark.slow
def test_documented_programs_of_the_tests_start():
    text = "".join(path.read_text("utf-8") for path in DOCUMENTS)
    programs = sorted(set(re.findall(r"python (tests/[\w/]+\.py)", text)))
    assert programs
    for program in programs:
        done = subprocess.run([sys.executable, program, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith("usage: "), done.stderr


def test_something_is_looked_for():
    """The patterns find what they are to find, and nothing that is there is missing."""
    readme = ROOT / "CTR-GCN" / "README.md"
    told = "`skeleton_lab.cost` `tests/conftest.py` `model.ctrgcn.Model` `config/*/smoke.yaml` `feeders.no.Feeder`"
    assert PATHS.findall(code(told)) == ["tests/conftest.py", "config/*/smoke.yaml"]
    found = MODULES.findall(code(told))
    assert found == ["skeleton_lab.cost", "model.ctrgcn.Model", "feeders.no.Feeder"]
    assert [importable(name, readme) for name in found] == [True, True, False]
    assert there("config/*/smoke.yaml", readme) and not there("config/*/nothing.yaml", readme)


def test_the_index_lists_every_document():
    listed = set(re.findall(r"\]\(([\w-]+\.(?:md|ipynb))\)", (ROOT / "docs" / "README.md").read_text("utf-8")))
    assert listed == {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")} - {
        "README.md"
    }
