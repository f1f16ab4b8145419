"""``skeleton-lab skeletons``: its table, pictures and pages, and the commands of docs/skeletons.md."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest
from PIL import Image
from places import ROOT

from skeleton_lab.cli import main
from skeleton_lab.reporting.skeletons import picture, words
from skeleton_lab.skeletons import figure, layouts

DOCUMENT = (ROOT / "docs" / "skeletons.md").read_text("utf-8")
EVERY = list(layouts.known().values())


@pytest.mark.slow
def test_every_command_of_the_document_runs_on_its_own_skeleton(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dog.yaml").write_text(re.search(r"```yaml\n(.*?)```", DOCUMENT, re.S)[1])
    lines = re.findall(r"^skeleton-lab .*?(?=\s+#)", DOCUMENT, re.M)
    assert len(lines) == 5
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    said = capsys.readouterr().out
    assert re.search(r"^ntu25 +25 +x y z +m +NTU RGB\+D", said, re.M) and len(re.findall(r"^coco17 ", said, re.M)) == 1
    assert re.search(r"^5 +left_shoulder +0 nose +6 right_shoulder$", said, re.M)
    assert {path.name for path in tmp_path.iterdir()} == {"dog.yaml", "coco17.png", "skeletons.html", "dog.html"}
    assert Image.open("coco17.png").size[1] > 400
    dog = (tmp_path / "dog.html").read_text("utf-8")
    assert "left_front_paw" in dog and dog.count("<circle") == 13 and dog.count("<line ") == 12
    assert (tmp_path / "skeletons.html").read_text("utf-8").count("<svg ") == len(EVERY)


def test_keys_and_rules_of_the_document_are_those_of_the_code():
    from skeleton_lab.skeletons import own

    table = DOCUMENT.split("| key |")[1].split("\n\n")[0]
    named = [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert set(named) == set(own.KEYS) - {"aliases"}


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
def test_a_standing_figure_has_a_place_for_every_joint(each):
    at = figure.places(each)
    assert at.shape == (each.V, 2) and np.isfinite(at).all()
    mirrored = at[each.mirror] * [-1, 1]
    sided = each.mirror != np.arange(each.V)
    np.testing.assert_allclose(at[sided], mirrored[sided], atol=1e-9)
    for left, right in each.pairs:
        assert at[left, 0] > 0 > at[right, 0], each.joints[left]  # the person faces the viewer
    apart = np.linalg.norm(at[:, None] - at[None], axis=-1) + np.eye(each.V)
    same = {frozenset(pair) for pair in np.argwhere(apart < 1e-3).tolist()}
    assert len(same) <= (2 if "left_hand_wrist" in each.joints else 0)  # a hand's wrist is the body's
    assert np.isfinite(picture.outward(each, at)).all()


def test_figures_stand_on_their_feet_whoever_names_the_joints():
    """Joints without names of the field stand by the tree: legs below the trunk, left of the person to the right."""
    bones = "[[1, 0], [2, 1], [3, 2], [4, 2], [5, 3], [6, 4], [7, 0], [8, 0]]"
    made = layouts.layout(f"joints: 9\nbones: {bones}\npairs: [[3, 4], [5, 6], [7, 8]]")
    at = figure.places(made)
    assert (at[[7, 8], 1] < at[0, 1]).all() and at[0, 1] < at[1, 1] < at[2, 1]
    assert (at[[3, 5, 7], 0] > 0).all() and (at[[4, 6, 8], 0] < 0).all()


def test_a_whole_body_is_drawn_with_all_its_numbers():
    body = layouts.layout("wholebody133")
    texts = [text for _, text in picture.labels(figure.places(body))]
    assert sorted(int(k) for text in texts for k in text.split()) == list(range(133))
    assert "9 91" in texts
    assert dict(words.facts(body))["SkateFormer's groups"].startswith("none")


@pytest.mark.parametrize(
    "argv, hint",
    [
        (["coco177"], "Did you mean 'coco17'?"),
        (["none.yaml"], "none.yaml: cannot be read"),
        (["coco17", "--output", "x.jpg"], "ends in .png or .html"),
        (["dog.png.yaml", "--output", "x.png"], "dog.png.yaml: cannot be read"),
        (["mine.yaml"], "mine.yaml: bones: the key is missing"),
        (["coco17", "--output", "folder.png"], "is a folder"),
    ],
)
def test_a_mistake_is_one_line(argv, hint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("joints: 3")
    (tmp_path / "folder.png").mkdir()
    assert main(["skeletons", *argv]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and hint in said.err and not said.out


def test_names_are_shown_as_they_are(tmp_path, monkeypatch):
    """Not as HTML on the page, nor as mathematics in the picture."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("title: '$\\frac{<b>'\njoints: [a, '<script>']\nbones: [[1, 0]]\n")
    assert main(["skeletons", "x.yaml", "--output", "x.html"]) == 0
    assert main(["skeletons", "x.yaml", "--output", "x.png"]) == 0
    page = (tmp_path / "x.html").read_text("utf-8")
    assert "&lt;script&gt;" in page and "<script>x" not in page and "<b>" not in page.split("</style>")[1]
