"""Dictionaries on the command line: four forms, one result; nothing is ever evaluated."""

from __future__ import annotations

import json
import keyword

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skeleton_lab.engine.config.dict_syntax import merge, parse
from skeleton_lab.errors import UsageError


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "{'window_size':32,'p_interval':[0.5,0.75],'uniform':True}",
            {"window_size": 32, "p_interval": [0.5, 0.75], "uniform": True},
        ),
        ("bone=True", {"bone": True}),
        (
            "window_size=32,bone=True,data_path='a b.npz'",
            {"window_size": 32, "bone": True, "data_path": "a b.npz"},
        ),
        ("graph_args=dict(labeling_mode='spatial')", {"graph_args": {"labeling_mode": "spatial"}}),
        ("dict(a=1)", {"a": 1}),
        ("data_path=bone", {"data_path": "bone"}),
        ("data_path=/a/b-1.npz,bone=false,p=[0.5,1]", {"data_path": "/a/b-1.npz", "bone": False, "p": [0.5, 1]}),
        ("a=2, b='x,c=y', d=~/x", {"a": 2, "b": "x,c=y", "d": "~/x"}),
        ("{window_size: 48, random_rot: false}", {"window_size": 48, "random_rot": False}),
        ("{window_size:48,random_rot:False}", {"window_size": 48, "random_rot": False}),
        ("window_size:48,random_rot:False", {"window_size": 48, "random_rot": False}),
        ("window_size: 48", {"window_size": 48}),
        ('{"window_size": 48, "graph_args": {"a": null}}', {"window_size": 48, "graph_args": {"a": None}}),
        ("{graph_args:{labeling_mode:spatial},p:[0.5,1]}", {"graph_args": {"labeling_mode": "spatial"}, "p": [0.5, 1]}),
        ("{data_path:/a/b:c.npz,x:None}", {"data_path": "/a/b:c.npz", "x": None}),
        ("data_path:data/ntu/NTU60_CS.npz", {"data_path": "data/ntu/NTU60_CS.npz"}),
        ("{a:'x,b:1',c:2}", {"a": "x,b:1", "c": 2}),
        ("lr: 1e-3", {"lr": 0.001}),
        ("date: 2020-13-45", {"date": "2020-13-45"}),
        ("  a=1  ", {"a": 1}),
        ("{}", {}),
        ("", {}),
    ],
)
def test_forms(text, expected):
    result = parse(text)
    assert result == expected
    assert json.dumps(result) == json.dumps(expected)  # 1 is not True is not 1.0


@pytest.mark.parametrize(
    "text",
    [
        "{x}",
        "x",
        "{a: {x}}",
        "a=1,b",
        "{'a b': 1}",
        "{1: 2}",
        "a=1,a=2",
        "{'a':1,'a':2}",
        "{a: 1, a: 2}",
        "{'a': 1j}",
        "{'a': {1, 2}}",
        "{'a': b'x'}",
        "{**{'a': 1}}",
        "dict([('a', 1)])",
        "**{'a': 1}",
        "a=open('x')",
        "a=b=c",
        "a=x y",
        "a=1+1",
        "__import__('os').system('touch pwned')",
        "a=1), print('x'",
        "[1, 2]",
        "1",
        "a: !!python/object/apply:os.system ['touch pwned']",
        "a: &x [*x]",
        "a: 'x",
        "a=" + "[" * 5000 + "]" * 5000,
        "a=" + "-" * 60000 + "1",
        "a=" + "1" * 70000,
        "a=\0",
        "?",
        ": 1",
    ],
)
def test_what_is_not_a_dictionary(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as error:
        parse(text, "--model-args")
    assert str(error.value).startswith("--model-args: ") and len(str(error.value)) < 400
    assert not list(tmp_path.iterdir())


def test_no_call_is_made(tmp_path, monkeypatch):
    """What looks like code in a place where YAML takes any text is that text."""
    monkeypatch.chdir(tmp_path)
    assert parse("{'a': __import__('os').system('touch pwned')}") == {"a": "__import__('os').system('touch pwned')"}
    assert not list(tmp_path.iterdir())


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name.lower() not in {"true", "false", "null", "none", "yes", "no", "on", "off", "y", "n"}
)
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
dictionaries = st.dictionaries(names, values, max_size=4)


@pytest.mark.slow
@given(dictionaries)
@example({"a": 1e-05, "b": 1e22, "c": "None", "d": "1e-3", "e": "#", "f": "'x', y:1"})
def test_every_form_reads_back(value):
    assert parse(repr(value)) == value
    if not any(map(keyword.iskeyword, value)):
        assert parse(",".join(f"{key}={item!r}" for key, item in value.items())) == value
    assert parse(json.dumps(value)) == value
    blanks = ", ".join(f"{key}: {json.dumps(item)}" for key, item in value.items())
    assert parse("{" + blanks + "}") == value
    # without blanks behind the colons of bare keys, and without braces
    plain = ",".join(f"{key}:{json.dumps(item)}" for key, item in value.items())
    assert parse("{" + plain + "}") == value
    assert parse(plain) == value


@given(st.text(max_size=40) | st.text("{}[]():=,'\"ab1 -*&!?#|>%@`\\\n", max_size=20))
def test_garbage_is_a_usage_error(text):
    try:
        result = parse(text)
    except UsageError:
        return
    assert all(key.isidentifier() for key in result)


def test_merge_is_one_level_deep_from_left_to_right():
    base = {"graph_args": {"a": 1, "b": 2}, "keep": 1}
    assert merge(base, {"graph_args": {"a": 3}}, {"new": 1}, {"new": 2}) == {
        "graph_args": {"a": 3},
        "keep": 1,
        "new": 2,
    }
    assert base == {"graph_args": {"a": 1, "b": 2}, "keep": 1}
