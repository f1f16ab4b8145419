"""YAML from outside: the safe loader with the checks that PyYAML leaves out."""

from __future__ import annotations

import copy
import functools
import math
import re
from typing import Any

import yaml

from skeleton_lab.errors import UsageError, one_line

MOST = 100_000  # entries of a configuration
DEEPEST = 50  # brackets within brackets; the time that the scanner needs for them grows with the square


class Loader(yaml.SafeLoader):
    """Safe loader that rejects duplicate keys, reads ``1e-3`` as a number and leaves dates as text."""

    def fetch_flow_collection_start(self, token: type) -> None:
        if self.flow_level >= DEEPEST:
            raise yaml.scanner.ScannerError(None, None, f"brackets nested more than {DEEPEST} deep", self.get_mark())
        super().fetch_flow_collection_start(token)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is not a name", key_node.start_mark)
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key_node.value}' is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_TIMESTAMP = "tag:yaml.org,2002:timestamp"
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# YAML 1.1 wants a dot and a signed exponent, as nobody writes them.
FLOAT = ("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))
Loader.add_implicit_resolver(*FLOAT)
for _tag in (_TIMESTAMP, "tag:yaml.org,2002:binary", "tag:yaml.org,2002:set"):
    Loader.add_constructor(_tag, Loader.construct_undefined)


def parsed(text: str, where: str) -> Any:
    """What a text says; ``where`` names it in messages.

    Raises:
        UsageError: no YAML, a key twice, or anchors that make it larger than any configuration. One line.
    """
    try:
        result = _loaded(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{where}{line}: not valid YAML: {one_line(error.problem)}") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(f"{where}: not valid YAML: {one_line(error)}") from None  # of a character: two lines
    if _entries(result, {}) > MOST:
        raise UsageError(f"{where}: written out, its anchors make more than {MOST:,} entries")
    return copy.deepcopy(result)


@functools.lru_cache(maxsize=64)
def _loaded(text: str) -> Any:
    """Kept, as the runs of a study read one configuration a thousand times, and PyYAML needs some 10 ms for it."""
    return yaml.load(text, Loader)  # a safe loader


def _entries(value: Any, known: dict[int, float]) -> float:
    """Entries of ``value`` where every reference to an anchor is written out; what holds itself has no end."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf  # while it is counted
        known[id(value)] = 1 + sum(
            _entries(entry, known) for entry in (value.values() if isinstance(value, dict) else value)
        )
    return known[id(value)]
