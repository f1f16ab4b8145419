"""The values of a Python file of assignments, by its syntax tree: nothing in it is run.

Understood are literals, ``dict(...)``, ``list(...)`` and ``tuple(...)``, names that are assigned above, ``**`` and
``*`` of them, and sums and the like of numbers and texts.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from skeleton_lab.errors import UsageError
from skeleton_lab.utils.atomic import refuse_special

LARGEST = 1 << 20  # bytes
MOST = 100_000  # entries of a value, lists within lists counted each time that they are named
HIGHEST = 1 << 63  # of a whole number: squares of squares would be endless
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}  # fmt: skip
_MAKERS = {"dict": dict, "list": list, "tuple": tuple}


class Assigned(NamedTuple):
    """Name -> value of every assignment of a file, in its order; and the names that other assignments use."""

    values: dict[str, Any]
    helpers: set[str]


def read(path: str | Path) -> Assigned:
    """What a file assigns.

    Raises:
        UsageError: no such file, no Python, or anything that is not a value; one line with the number of the line.
    """
    try:
        refuse_special(path)
        text = Path(path).read_bytes()[: LARGEST + 1]
        if len(text) > LARGEST:
            raise UsageError(f"{path} is longer than {LARGEST} bytes: no configuration")
        tree = ast.parse(text.decode("utf-8"), str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is no Python file: {' '.join(str(error).split())}") from None
    values: dict[str, Any] = {}
    helpers: set[str] = set()
    for number, node in enumerate(tree.body):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and number == 0:
            continue  # the text at its head
        if not isinstance(node, ast.Assign) or not all(isinstance(target, ast.Name) for target in node.targets):
            raise _Unread(path, node)
        try:
            value = _bounded(_value(node.value, values))
        except _NoValue as error:
            raise _Unread(path, error.node) from None
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise UsageError(f"{path}, line {node.lineno}: {error}") from None
        helpers |= {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)} & set(values)
        values |= {target.id: value for target in node.targets if isinstance(target, ast.Name)}
    return Assigned(values, helpers)


def _bounded(value: Any) -> Any:
    """The value; ValueError for one that would be endless when written out."""
    count, open_ones = 0, [value]
    while open_ones:
        each = open_ones.pop()
        count += 1 + (len(each) if isinstance(each, str) else 0)
        if count > MOST:
            raise ValueError(f"a value of more than {MOST} entries")
        if isinstance(each, (list, tuple, dict)):
            if len(each) > MOST:
                raise ValueError(f"a value of more than {MOST} entries")
            open_ones += each.values() if isinstance(each, dict) else each
    return value


class _NoValue(Exception):
    def __init__(self, node: ast.AST) -> None:
        super().__init__()
        self.node = node


class _Unread(UsageError):
    def __init__(self, path: str | Path, node: ast.AST) -> None:
        shown = " ".join(ast.unparse(node).split())
        super().__init__(
            f"{path}, line {getattr(node, 'lineno', '?')}: `{shown[:80]}{' ...' * (len(shown) > 80)}` is not read: the "
            "file is not run, and only literals, dict(...), names assigned above it and sums of them are values"
        )


def _value(node: ast.AST, names: dict[str, Any]) -> Any:
    """What an expression stands for; ``_NoValue`` for one that would have to be run."""
    if isinstance(node, ast.Constant) and not isinstance(node.value, (bytes, complex, type(...))):
        return node.value
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        made: list[Any] = []
        for entry in node.elts:
            made += _spread(entry, names)
            if len(made) > MOST:
                raise ValueError(f"a value of more than {MOST} entries")
        return made if isinstance(node, ast.List) else tuple(made)
    if isinstance(node, ast.Dict):
        table: dict[Any, Any] = {}
        for key, entry in zip(node.keys, node.values):
            table |= _value(entry, names) if key is None else {_value(key, names): _value(entry, names)}
        return table
    if isinstance(node, ast.Call):
        return _made(node, names)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _value(node.operand, names)
        return -value if isinstance(node.op, ast.USub) else +value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _joined(node, _value(node.left, names), _value(node.right, names))
    raise _NoValue(node)


def _spread(entry: ast.AST, names: dict[str, Any]) -> list[Any]:
    return list(_value(entry.value, names)) if isinstance(entry, ast.Starred) else [_value(entry, names)]


def _made(node: ast.Call, names: dict[str, Any]) -> Any:
    """``dict(a=1, **other)``, ``list(...)``, ``tuple(...)``."""
    if not isinstance(node.func, ast.Name) or node.func.id not in _MAKERS:
        raise _NoValue(node)
    made: dict[str, Any] = {}
    for keyword in node.keywords:
        value = _value(keyword.value, names)
        made |= value if keyword.arg is None else {keyword.arg: value}
    return _MAKERS[node.func.id](*(_value(entry, names) for entry in node.args), **made)


def _joined(node: ast.BinOp, left: Any, right: Any) -> Any:
    """Arithmetic of numbers, and sums of two texts or two lists."""
    numbers = all(isinstance(side, (int, float)) for side in (left, right))
    alike = type(left) is type(right) and isinstance(left, (str, list, tuple)) and isinstance(node.op, ast.Add)
    if not numbers and not alike:
        raise _NoValue(node)
    made = _OPERATORS[type(node.op)](left, right)
    if isinstance(made, int) and abs(made) > HIGHEST:
        raise ValueError("a whole number of more than 64 bits")
    return made
