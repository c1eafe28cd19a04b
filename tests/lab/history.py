"""All that was called in a run, read from the diaries of its workers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.lab.diary import Outcome

__all__ = ("Call", "read")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a pattern, by the machine's monotonic clock; whatever it did, it did between its two times."""

    worker: str
    #: Of the call in its worker's diary.
    number: int
    pattern: str
    operation: str
    arguments: tuple[Any, ...]
    begun: float
    #: Infinite if the process died meanwhile.
    ended: float = math.inf
    outcome: Outcome = "unknown"
    result: Any = None


def read(folder: Path) -> list[Call]:
    """The calls of all diaries of a folder, in the order in which they began."""
    diaries = [path for path in folder.iterdir() if path.is_file()]
    return sorted((call for path in diaries for call in _calls(path)), key=lambda call: call.begun)


def _calls(path: Path) -> Iterator[Call]:
    begun: dict[int, Call] = {}
    for line in path.read_bytes().splitlines():
        number, kind, at, *rest = json.loads(line)
        if kind == "invoke":
            pattern, operation, arguments = rest
            begun[number] = Call(path.name, number, pattern, operation, tuple(arguments), at)
        else:
            yield replace(begun.pop(number), ended=at, outcome=kind, result=rest[0])
    yield from begun.values()
