"""Copies: what a near cache holds in the process, and what takes it away."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final, final
from urllib.parse import unquote
from uuid import UUID

from aioredis_patterns.client.link import Link
from aioredis_patterns.types import KeyPart

from .contents import MISSING
from .entry import Shard

__all__ = ("Copies", "Copy")

_OVERHEAD: Final = 300
"""Bytes that a copy takes beside its content, about."""

_SCALARS: Final = frozenset(
    (bool, bytes, complex, date, datetime, Decimal, float, int, str, time, timedelta, type(None), UUID)
)


class Copy:
    """A value in the process."""

    __slots__ = ("content", "expires", "kind", "used", "value")

    def __init__(self, key: KeyPart, content: bytes, value: Any, expires: float) -> None:
        self.kind = type(key)  # True is not 1
        self.content = content
        self.value = value if _is_immutable(value) else MISSING
        self.expires = expires
        self.used = False

    @property
    def size(self) -> int:
        return len(self.content) + _OVERHEAD


@final
class Copies:
    """The copies of one cache that belong to one connection.

    Args:
        link: Whose connection tells of changes.
        shards: Where the values lie.
        most_entries: How many there may be.
        most_bytes: How much they may take.
        check: Seconds between two signs of life that the server is asked for.
    """

    def __init__(
        self, link: Link, shards: Sequence[Shard], *, most_entries: int, most_bytes: int, check: float
    ) -> None:
        self.home = link.home
        self.deadline = link.deadline
        self.tracking = link.tracking
        self.by_key: dict[KeyPart, Copy] = {}
        self._most_entries, self._most_bytes, self._check = most_entries, most_bytes, check
        self._marks = frozenset(shard.marks.encode() for shard in shards)
        self._heads = tuple(shard.value.encode() for shard in shards)
        self._reading: dict[str, object] = {}
        self._bytes = 0
        self._checking = False
        told = partial(_tell, weakref.ref(self))
        self.tracking.listen(told)
        weakref.finalize(self, self.tracking.leave, told)

    def put_placeholder(self, part: str) -> object:
        """Begin to read a key."""
        placeholder = self._reading[part] = object()
        return placeholder

    def take_placeholder(self, part: str, placeholder: object) -> bool:
        """Whether what was read may be kept: nothing was told of the key since, and no other read of it began."""
        if self._reading.get(part) is not placeholder:
            return False
        del self._reading[part]
        return True

    def keep(self, key: KeyPart, copy: Copy) -> None:
        """Keep a copy that has room at all; the oldest go where it is one too many, those that were used once later."""
        self._drop(key)
        if copy.size > self._most_bytes:
            return
        self.by_key[key] = copy
        self._bytes += copy.size
        while len(self.by_key) > self._most_entries or self._bytes > self._most_bytes:
            self._make_room()
        if not self._checking:
            self._checking = True
            self.home.loop.call_later(self._check, partial(_look_after, weakref.ref(self)))

    def _make_room(self) -> None:
        key, copy = next(iter(self.by_key.items()))
        if copy.used:
            copy.used = False
            self.by_key[key] = self.by_key.pop(key)
        else:
            self._drop(key)

    def _drop(self, key: KeyPart) -> None:
        copy = self.by_key.pop(key, None)
        if copy is not None:
            self._bytes -= copy.size

    def forget(self, part: str) -> None:
        """Drop what there is of a key, and whatever is being read of it."""
        self._reading.pop(part, None)
        text = unquote(part)
        self._drop(text)
        if text.removeprefix("-").isdecimal():
            self._drop(int(text))

    def forget_all(self) -> None:
        """Drop everything."""
        self._reading.clear()
        self.by_key.clear()
        self._bytes = 0

    def told(self, names: list[bytes] | None) -> None:
        """The server tells which keys have changed; None when it may have been any."""
        if names is None or not self._marks.isdisjoint(names):
            self.forget_all()
            return
        for name in names:
            if name.startswith(self._heads):
                self.forget(name.split(b"}:value:", 1)[1].decode())

    def look(self) -> None:
        """Ask for a sign of life, as long as there is something that may be out of date."""
        self._checking = bool(self.by_key)
        if self._checking:
            self.tracking.check(self._check)
            self.home.loop.call_later(self._check, partial(_look_after, weakref.ref(self)))


def _tell(reference: weakref.ref[Copies], names: list[bytes] | None) -> None:
    copies = reference()
    if copies is not None:
        copies.told(names)


def _look_after(reference: weakref.ref[Copies]) -> None:
    copies = reference()
    if copies is not None:
        copies.look()


def _is_immutable(value: Any) -> bool:
    if type(value) in (tuple, frozenset):
        return all(map(_is_immutable, value))
    return type(value) in _SCALARS
