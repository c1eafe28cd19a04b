"""Snapshot: all flags of an application at one moment, and what they say of whom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, final

from aioredis_patterns._core.stored import Stored

from .flag import FLAG_CODEC, Flag

__all__ = ("Person", "Snapshot", "snapshot_of")


@final
class Snapshot:
    """The flags, those among them that may be on, and until when this is so.

    Args:
        flags: Each as it is set.
        numbers: The bit of each flag that was ever granted to somebody.
        now_us: The server's time.
    """

    __slots__ = ("flags", "left_us", "numbers", "open", "people")

    def __init__(self, flags: dict[str, Flag], numbers: dict[str, int], now_us: int) -> None:
        self.flags = flags
        self.numbers = numbers
        self.people: dict[str | None, Person] = {}
        self.open: dict[str, Flag] = {}
        turns: list[int] = []
        for name, flag in flags.items():
            starts, ends = (None if at is None else round(at.timestamp() * 1e6) for at in (flag.starts, flag.ends))
            turns += [at for at in (starts, ends) if at is not None and at > now_us]
            if not flag.killed and (starts is None or starts <= now_us) and (ends is None or now_us < ends):
                self.open[name] = flag
        self.left_us = min(turns) - now_us if turns else None
        """Until a flag begins or ends."""

    def decide(self, name: str, person: Person, above: frozenset[str] = frozenset()) -> bool:
        """Whether a flag is on for somebody; flags that require one another in a circle are off."""
        if name in above:
            return False
        answer = person.answers.get(name)
        if answer is None:
            answer = person.answers[name] = self._decide(name, person, above | {name})
        return answer

    def _decide(self, name: str, person: Person, above: frozenset[str]) -> bool:
        flag = self.open.get(name)
        if flag is None or person.user in flag.deny:
            return False
        for other in flag.requires:
            if other not in self.flags or not self.decide(other, person, above):
                return False
        if person.user in flag.allow or not flag.groups.isdisjoint(person.groups):
            return True
        return self._granted(name, person.bits) or flag.covers(person.user)

    def _granted(self, name: str, bits: bytes) -> bool:
        number = self.numbers.get(name, 0)
        return number // 8 < len(bits) and bool(bits[number // 8] & 0x80 >> number % 8)


@final
@dataclass(slots=True)
class Person:
    """Somebody, and what a snapshot said of him so far."""

    user: str | None
    bits: bytes
    groups: Collection[str]
    answers: dict[str, bool] = field(default_factory=dict)

    def all(self, snapshot: Snapshot) -> dict[str, bool]:
        """What every flag says."""
        if len(self.answers) < len(snapshot.flags):
            self.answers = {name: snapshot.decide(name, self) for name in snapshot.flags}
        return self.answers.copy()


def snapshot_of(reply: list[Any]) -> Snapshot:
    """The snapshot in the reply of the script that reads it."""
    middle = 2 + int(reply[1])
    flags, numbers = reply[2:middle], reply[middle:]
    named = sorted(zip(flags[::2], flags[1::2], strict=True))
    with Stored("a flag"):
        return Snapshot(
            {name.decode(): FLAG_CODEC.decode(data) for name, data in named},
            {name.decode(): int(number) for name, number in zip(numbers[::2], numbers[1::2], strict=True)},
            int(reply[0]),
        )
