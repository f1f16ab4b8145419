"""Values of command lines.  Text is parsed, never evaluated."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from skeleton_lab.engine.config import dict_syntax, values
from skeleton_lab.errors import UsageError
from skeleton_lab.utils import importing


def str2bool(text: str | bool) -> bool:
    """``yes true t y 1`` or ``no false f n 0``, any case; anything else is an ArgumentTypeError."""
    try:
        return values.boolean(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{values.shown(text)} is {error}") from None


def str2dict(text: str) -> dict[str, Any]:
    """The dictionary that ``text`` writes down, in any form of ``skeleton_lab.engine.config.dict_syntax.parse``."""
    return dict_syntax.parse(text)


class DictAction(argparse.Action):
    """``add_argument('--model-args', action=DictAction, default={})``: each use merges its keys into what is there."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        text: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            given = dict_syntax.parse(text, option_string or self.dest)
        except UsageError as error:
            parser.error(str(error))
        setattr(namespace, self.dest, dict_syntax.merge(getattr(namespace, self.dest, None) or {}, given))


def import_class(name: str) -> Any:
    """Import ``a.b`` and return its ``C`` for ``a.b.C``; an ImportError that names the class if there is none."""
    try:
        return importing.named(name)
    except UsageError as error:
        raise ImportError(str(error)) from error
