"""What the workers of a storm wrote down about their holds, and what must not be found in it."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

__all__ = ("Diary", "Hold", "inversions", "overlaps", "read_diary")


@dataclass(frozen=True, slots=True)
class Hold:
    """One stay under a lock, by the machine's monotonic clock."""

    name: str
    fence: int
    entered: float
    #: When it was left, or when its validity ended, if that was earlier.
    ended: float


class Diary:
    """What one worker writes down: each line is on its way to the disk before the worker goes on, or is killed.

    The end of a hold is written before the release is sent. So a worker that was killed without that line has held
    the lock until then, as far as its lease was valid.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._number = 0

    def enter(self, name: str, lease: Any) -> int:
        """Write down an entry, and give its number."""
        self._number += 1
        self._write(self._number, name, lease.fence, monotonic(), lease.valid_until)
        return self._number

    def leave(self, number: int, lease: Any) -> None:
        """Write down that the hold of this number is over."""
        self._write(number, monotonic(), lease.valid_until)

    def _write(self, *values: object) -> None:
        os.write(self._file, json.dumps(values).encode() + b"\n")


def read_diary(path: Path, killed: float = math.inf) -> Iterator[Hold]:
    """The holds of one worker, which was killed at this time."""
    entries: dict[int, tuple[str, int, float, float]] = {}
    for line in path.read_bytes().splitlines():
        number, *values = json.loads(line)
        if len(values) == 4:
            entries[number] = tuple(values)
        else:
            name, fence, entered, _ = entries.pop(number)
            yield Hold(name, fence, entered, min(values))
    for name, fence, entered, valid_until in entries.values():
        yield Hold(name, fence, entered, min(killed, valid_until))


def overlaps(holds: Iterable[Hold]) -> list[tuple[Hold, Hold]]:
    """The holds that began while another one of the same lock was valid, each with that one."""
    found = []
    for line in _by_name(holds):
        last = line[0]
        for hold in line[1:]:
            if hold.entered < last.ended:
                found.append((last, hold))
            last = max(last, hold, key=lambda one: one.ended)
    return found


def inversions(holds: Iterable[Hold]) -> list[tuple[Hold, Hold]]:
    """The holds whose fence is not greater than one that was seen before on the same lock, each with that one."""
    found = []
    for line in _by_name(holds):
        newest = line[0]
        for hold in line[1:]:
            if hold.fence <= newest.fence:
                found.append((newest, hold))
            newest = max(newest, hold, key=lambda one: one.fence)
    return found


def _by_name(holds: Iterable[Hold]) -> list[list[Hold]]:
    """The holds of each lock in the order of their entries; those entered after their validity do not count."""
    lines: dict[str, list[Hold]] = defaultdict(list)
    for hold in sorted(holds, key=lambda one: one.entered):
        if hold.entered < hold.ended:
            lines[hold.name].append(hold)
    return list(lines.values())
