"""HTML that cannot be forgotten to escape: text becomes markup only through ``tag``."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

VOID = {"br", "input", "link", "meta"}


class Markup(str):
    """Text that is HTML already; any other text is escaped where it is put into a tag."""


def join(*children: Any) -> Markup:
    """Children one after the other: markup as it is, None left out, iterables flattened, all else escaped."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, Iterable) and not isinstance(child, str):
            parts.append(join(*child))
        else:
            parts.append(html.escape(str(child)))
    return Markup("".join(parts))


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """``tag("p", "a < b", class_="note")``: ``<p class="note">a &lt; b</p>``; True: a bare attribute, None: none."""
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{html.escape(str(value))}"')
    opening = f"<{' '.join(words)}>"
    return Markup(opening if name in VOID else f"{opening}{join(*children)}</{name}>")
