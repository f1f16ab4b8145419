"""Configuration files: safe YAML in, with the checks PyYAML leaves out, and sorted YAML out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from skeleton_lab.errors import UsageError
from skeleton_lab.utils import safe_yaml
from skeleton_lab.utils.atomic import refuse_special

LARGEST = 1 << 20  # bytes: an archive that is given by mistake is not read


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
    result = safe_yaml.parsed(text, f"--config {path}")
    if result is None:
        return {}
    if not isinstance(result, dict):
        raise UsageError(f"--config {path}: holds a {type(result).__name__}, not a mapping of keys to values")
    return result


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver(*safe_yaml.FLOAT)  # so that the text "1e-3" is written with quotes


def dump(mapping: dict[str, Any], indent: int = 2) -> str:
    """Block style, sorted by key, readable by ``read``; tuples become lists, anchors are not used."""
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=120, indent=indent)
