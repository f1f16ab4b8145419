"""Configuration files: safe YAML in, with the checks PyYAML leaves out, and sorted YAML out."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from skeleton_lab.errors import UsageError
from skeleton_lab.utils.atomic import refuse_special

LARGEST = 1 << 20  # bytes: an archive that is given by mistake is not read
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
_FLOAT = ("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))
Loader.add_implicit_resolver(*_FLOAT)
for _tag in (_TIMESTAMP, "tag:yaml.org,2002:binary", "tag:yaml.org,2002:set"):
    Loader.add_constructor(_tag, Loader.construct_undefined)


def read(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; an empty file is an empty mapping.

    Raises:
        UsageError: missing, a folder, unreadable, no YAML, a key twice, not a mapping.  One line that names the file.
    """
    refuse_special(path)
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UsageError(f"--config {path}: is larger than any configuration; name a YAML file")
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise UsageError(f"--config {path}: there is no such file") from None
    except IsADirectoryError:
        raise UsageError(f"--config {path}: this is a folder; name a YAML file in it") from None
    except UnicodeDecodeError:
        raise UsageError(f"--config {path}: not a text file") from None
    except UsageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise UsageError(f"--config {path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        result = yaml.load(text, Loader)  # a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"--config {path}{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(f"--config {path}: not valid YAML: {error}") from None
    if _entries(result, {}) > MOST:
        raise UsageError(f"--config {path}: written out, its anchors make more than {MOST:,} entries")
    if result is None:
        return {}
    if not isinstance(result, dict):
        raise UsageError(f"--config {path}: holds a {type(result).__name__}, not a mapping of keys to values")
    return result


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


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver(*_FLOAT)  # so that the text "1e-3" is written with quotes


def dump(mapping: dict[str, Any], indent: int = 2) -> str:
    """Block style, sorted by key, readable by ``read``; tuples become lists, anchors are not used."""
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=120, indent=indent)
