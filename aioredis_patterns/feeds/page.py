"""A page of a feed: what stands on it, and where the next one begins."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from aioredis_patterns._core.stored import Stored

__all__ = ("Entry", "FeedPage", "TOP", "entries", "merged", "place_of", "without_copies")

T = TypeVar("T")

_EXACT: Final = 2**53

TOP: Final[tuple[str, bytes]] = "+inf", b""
"""The place before the newest item."""


@dataclass(frozen=True, slots=True)
class FeedPage(Generic[T]):
    """Some items of a feed, the newest first.

    Args:
        items: What was posted.
        cursor: What the next page is asked for with; None when there is nothing older.
        truncated: Whether items that belong on this page, or behind it when it is the last, are gone because newer
            ones needed their room.

    >>> FeedPage(["hello"], None, False).items
    ['hello']
    """

    items: list[T]
    cursor: str | None
    truncated: bool


class Entry(NamedTuple):
    """An item and its place; places are ordered by time, then by member."""

    time_us: int
    member: bytes
    body: bytes

    @property
    def place(self) -> tuple[str, bytes]:
        """Where it stands, as scripts take it."""
        return str(self.time_us), self.member

    @property
    def cursor(self) -> str:
        """Where it stands, as users keep it."""
        return urlsafe_b64encode(b"%d %b" % (self.time_us, self.member)).decode()

    @property
    def content(self) -> tuple[bytes, bytes]:
        """What it is called, and what is in it, on whatever feed it was posted."""
        return self.member.rpartition(b"\t")[2], self.body


def entries(flat: Sequence[bytes]) -> Iterable[Entry]:
    """The entries of a script's list of members and values."""
    for member, value in zip(flat[::2], flat[1::2], strict=True):
        head, _, body = value.partition(b"\n")
        with Stored("an item of a feed"):
            time_us = int(head.split(b" ")[0])
        yield Entry(time_us, member, body)


def merged(parts: Iterable[Sequence[bytes]]) -> list[Entry]:
    """What several lists have, the newest first; what is in two of them once."""
    return sorted({entry for part in parts for entry in entries(part)}, reverse=True)


def without_copies(found: Iterable[Entry]) -> list[Entry]:
    """Of those that several feeds posted under one id, the newest."""
    kept: dict[tuple[bytes, bytes], Entry] = {}
    for entry in found:
        kept.setdefault(entry.content, entry)
    return list(kept.values())


def place_of(cursor: str | None) -> tuple[str, bytes]:
    """The place that a cursor tells.

    Raises:
        ValueError: It is no cursor of a feed.
    """
    if cursor is None:
        return TOP
    try:
        time_us, _, member = b64decode(cursor, altchars="-_", validate=True).partition(b" ")
        if member and 0 <= int(time_us) < _EXACT:
            return str(int(time_us)), member
    except (TypeError, ValueError):
        pass
    raise ValueError(f"no cursor of a feed: {cursor!r:.80}")
