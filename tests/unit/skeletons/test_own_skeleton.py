"""A user's own skeleton as YAML: little is needed, what is not there is found, and every mistake is one line."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import yaml

from skeleton_lab.errors import UsageError
from skeleton_lab.skeletons import layouts, rules

DOG = """
name: dog
joints: [pelvis, spine, neck, head, tail,
  left_front_leg, left_front_paw, right_front_leg, right_front_paw,
  left_hind_leg, left_hind_paw, right_hind_leg, right_hind_paw]
bones: [[spine, pelvis], [neck, spine], [head, neck], [tail, pelvis],
  [left_front_leg, spine], [left_front_paw, left_front_leg], [right_front_leg, spine],
  [right_front_paw, right_front_leg], [left_hind_leg, pelvis], [left_hind_paw, left_hind_leg],
  [right_hind_leg, pelvis], [right_hind_paw, right_hind_leg]]
"""


def own(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return layouts.layout(path)


def test_a_dog(tmp_path):
    dog = own(tmp_path, DOG)
    assert (dog.name, dog.V, dog.root, dog.centre) == ("dog", 13, 0, 0)  # both in the middle: pelvis, spine
    assert dog.pairs == [(5, 7), (6, 8), (9, 11), (10, 12)]
    assert dog.limbs == ((5, 6), (7, 8), (9, 10), (11, 12))  # front legs first, as arms are
    assert dog.trunk == (4, 0, 1, 2, 3) and dog.face == ()
    assert (dog.dimensions, dog.units, dog.y_up, dog.scored) == (3, "m", True, False)
    assert dog.origin == (0,)


def test_what_is_found_is_what_the_registry_has():
    """Joints and bones of each known body alone give the parts, the pairs and the root that were chosen by hand."""
    by_hand = {"hand22", "smplh52", "wholebody133", "wholebody59", "hands42"}  # whose parts depend on what they are for
    for each in layouts.known().values():
        if each.name in by_hand:
            continue
        text = yaml.safe_dump({"joints": list(each.joints), "bones": [list(bone) for bone in each.bones]})
        found = layouts.layout(text)
        assert found.root == each.root and sorted(found.pairs) == sorted(each.pairs), each.name
        assert found.trunk == each.trunk and set(found.face) == set(each.face), each.name
        if each.name not in ("ntu25", "body25", "wholebody23"):  # hand tip before thumb, feet on the ankle's order
            assert found.limbs == each.limbs, each.name
        if each.name not in ("ntu25", "ucla20", "body25", "coco18"):
            assert set(found.origin) == set(each.origin), each.name


def test_numbers_alone_are_enough_and_2d_is_pixels(tmp_path):
    made = own(tmp_path, "joints: 4\nbones: [[1, 0], [2, 1], [3, 1]]\ndimensions: 2\n", "rig.yml")
    assert (made.name, made.joints[3], made.units, made.y_up, made.scored) == ("rig", "joint_3", "px", False, True)
    assert made.pairs == [] and made.centre == 1
    assert len(rules.groups(made).order) % rules.groups(made).group == 0


def test_everything_can_be_given(tmp_path):
    told = DOG + (
        "root: spine\ncentre: neck\norigin: '(9+11)/2'\nscale: neck-pelvis\nunits: mm\ny_up: false\nscored: true\n"
        "trunk: [pelvis, spine, neck]\nlimbs: [[5, 6], [7, 8], [9, 10], [11, 12]]\nface: [head, tail]\n"
        "pairs: [[5, 7]]\ntitle: A dog\n"
    )
    dog = own(tmp_path, told)
    assert (dog.root, dog.centre, dog.origin, dog.scale) == (1, 2, (9, 11), ((2,), (0,)))
    assert (0, 1) in dog.bones and (1, 0) not in dog.bones  # turned to lead to the root that was given
    assert dog.parent[1] == 1 and (dog.trunk, dog.face, dog.pairs) == ((0, 1, 2), (3, 4), [(5, 7)])
    assert own(tmp_path, told.replace("'(9+11)/2'", "0")).origin == (0,)
    assert own(tmp_path, told.replace("'(9+11)/2'", "tail")).origin == (4,)
    assert (dog.units, dog.y_up, dog.scored, dog.title) == ("mm", False, True, "A dog")


def test_an_archive_keeps_it(tmp_path):
    dog = own(tmp_path, DOG)
    text = layouts.as_text(dog)
    assert layouts.parsed(text, "x", "y") == dog and layouts.layout(text) == dog
    star = layouts.layout("ntu25").variant("star")
    assert layouts.layout(layouts.as_text(star)).parent[21] == 7  # as it is, not the known one of that name
    body = layouts.layout("h36m17")
    assert layouts.parsed(layouts.as_text(body), "x", "y") == body


WRONG = {
    "joint: 3": r"joint: there is no such key; keys are .*Did you mean 'joints'\?",
    "bones: [[1, 0]]": r"joints: the key is missing",
    "joints: 3": r"bones: the key is missing",
    "joints: [a, b, a]\nbones: [[1, 0]]": r"joints: 'a' is there twice",
    "joints: 100000\nbones: [[1, 0]]": r"joints: there are 1001; 2 to 1000",
    "joints: [yes, no]\nbones: [[1, 0]]": r"joints: names in the order of the data are needed",
    'joints: [a, "b\\e[2J"]\nbones: [[1, 0]]': r"joints: names in the order of the data are needed",
    "joints: 3\nbones: [[1, 0], [3, 1]]": r"bones: there is no joint 3; they are numbered from 0 to 2",
    "joints: [hip, knee]\nbones: [[kneee, hip]]": r"bones: there is no joint 'kneee'\. Did you mean 'knee'\?",
    "joints: 3\nbones: [[1, 0, 2]]": r"bones: \[1, 0, 2\] is not a bone, \[child, parent\]",
    "joints: 3\nbones: [[1, 1], [2, 0]]": r"bones: joint 1 is tied to itself",
    "joints: 4\nbones: [[1, 0], [2, 0], [1, 2], [3, 0]]": r"bones: joint 1 has two parents, 0 and 2",
    "joints: 4\nbones: [[1, 2], [2, 3], [3, 1]]": r"bones: \[3, 1\] closes a circle",
    "joints: 4\nbones: [[1, 0], [3, 2]]": r"bones: there are 2 trees, with the joints 0, 2 in them",
    "joints: 4\nroot: 1\nbones: [[1, 0], [2, 0], [1, 2]]": r"bones: \[1, 2\] closes a circle",
    "joints: [hip, left_knee]\nbones: [[1, 0]]": r"joints: there is left_knee and no right_knee",
    "joints: 3\nbones: [[1, 0], [2, 0]]\npairs: [[1, 2], [0, 1]]": r"pairs: joint 1 is there twice",
    "joints: 3\nbones: [[1, 0], [2, 0]]\nunits: feet": r"units: 'feet' is not one of m, cm, mm, px, image",
    "joints: 3\nbones: [[1, 0], [2, 0]]\ndimensions: true": r"dimensions: True is not one of 2, 3",
    "joints: 3\nbones: [[1, 0], [2, 0]]\norigin: 1+2": r"origin: '1\+2' is no point",
    "joints: 3\nbones: [[1, 0], [2, 0]]\norigin: 7": r"origin: there is no joint 7",
    "joints: 3\nbones: [[1, 0], [2, 0]]\nscale: 1": r"scale: '1' is no length",
    "joints: 3\nbones: [[1, 0], [2, 0]]\nscale: 1-1": r"scale: '1-1' has no length",
    "joints: 3\nbones: [[1, 0], [2, 0]]\ntrunk: [0]": r"limbs: a list is needed",
    "joints: 3\nbones: [[1, 0], [2, 0]]\ntrunk: [0]\nlimbs: [[1], [1]]": r"trunk, limbs, face: joint 1 is there twice",
    "joints: 3\nbones: [[1, 0], [2, 0]]\norigin: [1]": r"origin: \[1\] is no point",
    "joints: 3\nbones: [[1, 0], [2, 0]]\naliases: [[1]]": r"aliases: short texts are needed",
    "joints: 3\nbones: [[1, 0], [{}, 0]]": r"bones: there is no joint \{\}",
    "[1, 2]": r"a skeleton is a table of keys",
    "joints: [a": r"not valid YAML",
    "joints: !!python/object/apply:os.system ['true']": r"not valid YAML",
}


@pytest.mark.parametrize("text", WRONG)
def test_every_mistake_is_one_line_that_names_file_and_key(tmp_path, text):
    with pytest.raises(UsageError) as error:
        own(tmp_path, text)
    assert re.search(WRONG[text], str(error.value)), error.value
    assert str(tmp_path / "mine.yaml") in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"--skeleton .*none\.yaml: cannot be read: No such file"):
        layouts.layout(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="it is not text in UTF-8"):
        layouts.layout(tmp_path / "bytes.yaml")


def test_a_file_that_grows_is_one_short_line(tmp_path):
    """Aliases of aliases stand for billions of values."""
    lines = ["a0: &a0 [x, x]", *(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12))]
    for key in ("name", "origin", "units", "trunk", "root", "aliases", "bones", "pairs", "joints"):
        plain = {"joints": "3", "bones": "[[1, 0], [2, 0]]"} | {key: "*a11"}
        text = "\n".join(["face:", *(f"  {line}" for line in lines), *(f"{k}: {v}" for k, v in plain.items())])
        with pytest.raises(UsageError) as error:
            own(tmp_path, text)
        assert len(str(error.value)) < 600, key


def test_a_pipe_and_a_large_file_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_bytes(b" " * 1_000_001)
    for name in ("pipe.yaml", "large.yaml"):
        with pytest.raises(UsageError, match="it is no file of at most 1000 kB"):
            layouts.layout(tmp_path / name)


def test_every_skeleton_of_any_tree_gets_whole_groups():
    """Trees drawn at random, without names: all joints are in a part, and the rules take them."""
    random = np.random.default_rng(0)
    for V in range(2, 40):
        bones = [[k, int(random.integers(k))] for k in range(1, V)]
        made = layouts.layout(yaml.safe_dump({"joints": V, "bones": bones}))
        parts = sorted([*made.trunk, *made.face, *(joint for limb in made.limbs for joint in limb)])
        assert parts == list(range(V))
        found = rules.groups(made)
        assert set(found.order) | set(found.dropped) == set(range(V))
        assert rules.spatial(made).shape == (3, V, V) and made.scale[0] != made.scale[1]
