"""What the workers of a storm wrote down about their holds, and what must not be found in it."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

__all__ = ("Diary", "Hold", "entries", "inversions", "overlaps", "read_diary")


@dataclass(frozen=True, slots=True)
class Hold:
    """One stay under a lock, by the machine's monotonic clock."""

    name: str
    fence: int
    entered: float
    #: When it was left, or when its validity ended, if that was earlier.
    ended: float
    #: How many others may be there meanwhile.
    beside: float = 0


class Diary:
    """What one worker writes down: each line is on its way to the disk before the worker goes on, or is killed.

    The end of a hold is written before the release is sent. So a worker that was killed without that line has held
    the lock until then, as far as its lease was valid.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._number = 0

    def enter(self, names: Sequence[str], lease: Any, beside: float = 0) -> int:
        """Write down an entry, and give its number."""
        self._number += 1
        self._write(self._number, [*names], lease.fence, beside, monotonic(), lease.valid_until)
        return self._number

    def leave(self, number: int, lease: Any) -> None:
        """Write down that the hold of this number is over."""
        self._write(number, monotonic(), lease.valid_until)

    def _write(self, *values: object) -> None:
        os.write(self._file, json.dumps(values).encode() + b"\n")


def read_diary(path: Path, killed: float = math.inf) -> Iterator[Hold]:
    """The holds of one worker, which was killed at this time."""
    begun: dict[int, list[Any]] = {}
    for line in path.read_bytes().splitlines():
        number, *values = json.loads(line)
        if len(values) > 2:
            begun[number] = values
        else:
            yield from _holds(begun.pop(number), min(values))
    for values in begun.values():
        yield from _holds(values, min(killed, values[-1]))


def _holds(values: list[Any], ended: float) -> list[Hold]:
    names, fence, beside, entered, _ = values
    return [Hold(name, fence, entered, ended, beside) for name in names]


def entries(path: Path) -> int:
    """How many entries a diary has at least, that is still written to."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 2000, 0))
        whole = file.read().split(b"\n")[1:-1]
    return max((json.loads(line)[0] for line in whole), default=0)


def overlaps(holds: Iterable[Hold]) -> list[tuple[Hold, Hold]]:
    """The holds that began while more others of the same lock were valid than may be, each with one of those."""
    found = []
    for line in _by_name(holds):
        inside: list[Hold] = []
        for hold in line:
            inside = [one for one in inside if hold.entered < one.ended]
            inside.append(hold)
            if len(inside) - 1 > min(one.beside for one in inside):
                found.append((inside[-2], hold))
    return found


def inversions(holds: Iterable[Hold]) -> list[tuple[Hold, Hold]]:
    """The holds whose fence is not greater than one that was seen before on the same lock, each with that one.

    Those that may be there together have no order, but no fence twice either.
    """
    found = []
    for line in _by_name(holds):
        seen: dict[int, Hold] = {}
        newest = alone = Hold("", -1, 0, 0)
        for hold in line:
            before = seen.get(hold.fence, alone if hold.beside else newest)
            if hold.fence <= before.fence:
                found.append((before, hold))
            seen[hold.fence] = hold
            newest = max(newest, hold, key=lambda one: one.fence)
            alone = alone if hold.beside else newest
    return found


def _by_name(holds: Iterable[Hold]) -> list[list[Hold]]:
    """The holds of each lock in the order of their entries; those entered after their validity do not count."""
    lines: dict[str, list[Hold]] = defaultdict(list)
    for hold in sorted(holds, key=lambda one: one.entered):
        if hold.entered < hold.ended:
            lines[hold.name].append(hold)
    return list(lines.values())
