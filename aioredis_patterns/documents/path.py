"""Paths: one place in a JSON document."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ("parse_path", "placed")

_STEP: Final = re.compile(r"""\.(?P<name>[^.\[\]'"*?@\s]+)|\[(?P<index>-?\d{1,9})\]|\['(?P<quoted>[^']*)'\]""")


def parse_path(path: Any) -> tuple[str | int, ...]:
    """The members and indexes that a path goes through.

    >>> parse_path("$.tabs[0]['a.b']")
    ('tabs', 0, 'a.b')
    """
    if not isinstance(path, str) or not path.startswith("$"):
        raise ValueError(f"a path must begin with $, not {path!r:.80}")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise ValueError(f"a path must be of .name, [0] and ['name'], which {path!r:.80} is not from {at} on")
        index = step["index"]
        steps.append(int(index) if index is not None else step["name"] or step["quoted"] or "")
        at = step.end()
    return tuple(steps)


def placed(document: Any, steps: tuple[str | int, ...], value: Any) -> Any:
    """The document with a value at a place; it is changed itself.

    Raises:
        LookupError: There is no such place.
    """
    if not steps:
        return value
    place = document
    for step in steps[:-1]:
        _check_step(place, step)
        place = place[step]
    last = steps[-1]
    _check_step(place, last)
    place[last] = value
    return document


def _check_step(place: Any, step: str | int) -> None:
    if type(place) is not (dict if isinstance(step, str) else list):
        raise LookupError(f"the path leads to {type(place).__name__}, which has no {step!r}")
