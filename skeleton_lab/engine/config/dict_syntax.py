"""Dictionaries on the command line: ``--model-args "{'num_heads':8}"``.  Text is parsed, never evaluated."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

import yaml

from skeleton_lab.errors import UsageError
from skeleton_lab.utils.safe_yaml import Loader

LONGEST = 65_536  # characters
DEEPEST = 40  # brackets within brackets

_FORMS = "write \"{'window_size':32,'bone':True}\", window_size=32,bone=True or {window_size: 32, bone: true}"


class _Flow(Loader):
    """YAML as people type it on a command line: ``None`` is Python's."""


_Flow.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^None$"), ["N"])


class _NotThisForm(Exception):
    """The text is not of the form that was tried."""


class _Wrong(Exception):
    """The form fits, the content does not."""


def merge(base: dict[str, Any], *updates: dict[str, Any]) -> dict[str, Any]:
    """One level deep, left to right: a nested mapping or list is replaced as a whole."""
    return {key: value for part in (base, *updates) for key, value in part.items()}


def parse(text: str, place: str = "dictionary") -> dict[str, Any]:
    """The dictionary that ``text`` writes down.

    Forms, tried in this order: a Python literal ``{'a':1}``; a keyword list ``a=1,b='x'`` (nested ``dict(c=1)``
    allowed, and ``b=x`` where x is a word or a path); a YAML or JSON mapping ``{a: 1}``; the same without blanks
    and braces ``a:1,b:x``.

    Args:
        place: how errors name the origin, e.g. ``--model-args``.

    Raises:
        UsageError: anything else; keys must be identifiers, every entry needs ``=`` or ``:``.
    """
    quoted = repr(text if len(text) <= 60 else text[:57] + "...")
    if len(text) > LONGEST or _depth(text) > DEEPEST:
        raise UsageError(f"{place}: {quoted} is too long or too deeply nested for a dictionary")
    for form in (_python, _yaml):
        try:
            return _checked(form(text.strip()))
        except _Wrong as error:
            raise UsageError(f"{place}: {quoted}: {error}") from None
        except _NotThisForm:
            continue
    raise UsageError(f"{place}: {quoted} is not a dictionary; {_FORMS}")


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _checked(result: dict[Any, Any]) -> dict[str, Any]:
    for key in result:
        if not (isinstance(key, str) and key.isidentifier()):
            raise _Wrong(f"key {key!r} is not a name")
    return result


# ------------------------------------------------------------------------------------- literal and keyword list


# A word or path without quotes as the whole value of a keyword; quoted texts are stepped over.
_QUOTED_OR_WORD = re.compile(
    r"""(?<=[\s{\[(,=:])(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|((?:^|,)\s*[A-Za-z_]\w*=)([\w./~][\w./~:-]*)(?=\s*(?:,|$))"""
)


def _python(text: str) -> dict[Any, Any]:
    for source in (text, f"dict({text})", f"dict({_QUOTED_OR_WORD.sub(_with_quotes, text)})"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # '\d' in a path
                tree = ast.parse(source, mode="eval").body
            if isinstance(tree, ast.Dict) or _is_keyword_list(tree):
                return _literal(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError, _NotThisForm):
            continue
    raise _NotThisForm


def _with_quotes(match: re.Match[str]) -> str:
    """``data_path=bone`` for Python; ``bone=false`` means what YAML makes of it."""
    if not match[1]:
        return match[0]
    value = yaml.load(match[2], _Flow)  # a safe loader
    return match[1] + (repr(value) if isinstance(value, (str, bool, type(None))) else match[2])


def _is_keyword_list(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "dict"
        and not node.args
        and all(keyword.arg for keyword in node.keywords)
    )


def _literal(node: ast.AST) -> Any:
    if _is_keyword_list(node):
        return _unique([(keyword.arg, _literal(keyword.value)) for keyword in node.keywords])
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise _Wrong("** cannot be used here")
        return _unique([(_literal(key), _literal(value)) for key, value in zip(node.keys, node.values)])
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_literal(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise _NotThisForm from None  # {a: b} may still be YAML
    if not isinstance(value, (bool, int, float, str, type(None))):
        raise _Wrong(f"{value!r} is neither a number, a text, True, False, None, a list nor a dictionary")
    return value


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, value in pairs:
        if isinstance(key, (list, dict, tuple)):
            raise _Wrong(f"key {key!r} is not a name")
        if key in result:
            raise _Wrong(f"key {key!r} is given twice")
        result[key] = value
    return result


# ------------------------------------------------------------------------------------------------------- YAML

# A quoted text where a value can start, or a bare key whose colon lacks the blank that YAML wants behind it.
_QUOTED_OR_KEY = re.compile(r"""(?<=[\s{\[,:])(?:"(?:\\.|[^"\\])*"|'(?:''|[^'])*')|(?<=[{,])(\s*[A-Za-z_]\w*):(?=\S)""")


def _yaml(text: str) -> dict[Any, Any]:
    if not (text.startswith("{") and text.endswith("}")):
        text = "{" + text + "}"
    text = _QUOTED_OR_KEY.sub(lambda match: f"{match[1]}: " if match[1] else match[0], text)
    try:
        colons = sum(isinstance(token, yaml.ValueToken) for token in yaml.scan(text, _Flow))
        node = yaml.compose(text, _Flow)
        if _entries(node) != colons:
            raise _Wrong("every entry needs its '=' or ':'")
        result = yaml.load(text, _Flow)  # a safe loader
    except yaml.constructor.ConstructorError as error:
        raise _Wrong(str(error.problem)) from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise _NotThisForm from None
    if not isinstance(result, dict):
        raise _NotThisForm
    return result


def _entries(node: yaml.Node) -> int:
    """Entries of all mappings below the node."""
    if isinstance(node, yaml.MappingNode):
        return len(node.value) + sum(_entries(part) for pair in node.value for part in pair)
    if isinstance(node, yaml.SequenceNode):
        return sum(_entries(part) for part in node.value)
    return 0
