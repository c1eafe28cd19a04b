"""Standings: what can be read off a board, a copy of it, or that of a period."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from aioredis_patterns._core.commands import Command
from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.members import member_text
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import Stored, stored_texts
from aioredis_patterns.types import AnyRedis, Codec, KeyPart, Seconds

from .scores import check_count, member_texts

__all__ = ("BoardKeys", "RankedMember", "Standings", "board_keys")

_PAGE: Final = Script(__package__, "leaderboard_page", keys=3, fragments=("fragment_board",), repeatable=True)
_AROUND: Final = Script(__package__, "leaderboard_around", keys=4, fragments=("fragment_board",), repeatable=True)
_RANK: Final = Script(__package__, "leaderboard_rank", keys=4, fragments=("fragment_board",), repeatable=True)
_STANDING: Final = Script(__package__, "leaderboard_standing", keys=2, fragments=("fragment_board",), repeatable=True)
_SNAPSHOT: Final = Script(__package__, "leaderboard_snapshot", keys=8, repeatable=True)

_RANKING: Final = {name: Command(name, repeatable=True) for name in ("ZRANK", "ZREVRANK")}
_RANGING: Final = {name: Command(name, repeatable=True) for name in ("ZRANGE", "ZREVRANGE")}
_SCORING: Final = Command("ZSCORE", repeatable=True)
"""Where a rank is a place and equals stand by name, the server's own commands say it all."""

BoardKeys = tuple[str, str, str, str, str]
_PARTS: Final = ("board", "places", "levels", "counts", "notes")


def board_keys(keys: Keys, version: str = "") -> BoardKeys:
    """The keys of a board, or of one version of it, in the order in which scripts take them."""
    board, places, levels, counts, notes = (keys.key(f"{part}{version}") for part in _PARTS)
    return board, places, levels, counts, notes


@dataclass(frozen=True, slots=True)
class RankedMember:
    """A row of a board.

    Args:
        member: Who.
        score: None for one who is not on the board.
        rank: From 1; None for one who is not on the board.
        meta: What was stored beside the score, if the board keeps that.

    >>> RankedMember("ada", 1700.0, 1).rank
    1
    """

    member: str
    score: float | None
    rank: int | None
    meta: Any = None


class Standings:
    """What can be read: of the board as it is, of a snapshot, or of a period.

    Promise: each answer is one moment's, ranks and rows together. Cost: one round trip each; a rank costs the server
    the logarithm of the board's size, a page its rows besides.

    Example:
        >>> board = Leaderboard(redis, "chess")
        >>> await board.set("ada", 1700)
        >>> standings = await board.snapshot(ttl=60)
        >>> await board.set("bob", 1800)
        >>> [row.member for row in await standings.top(10)]
        ['ada']
    """

    __slots__ = (
        "_codec",
        "_form",
        "_keys",
        "_parts",
        "_plain",
        "_ranging",
        "_ranking",
        "_read",
        "_redis",
        "_shown",
        "name",
    )

    def __init__(
        self, redis: AnyRedis, name: str, parts: Keys, keys: BoardKeys, form: tuple[str, str, str], codec: Any
    ) -> None:
        self.name = name
        self._redis = redis
        self._parts = parts
        self._keys = keys
        board, places, levels, _, notes = keys
        self._read = board, places, levels, notes
        self._shown = board, levels, notes
        self._form = form
        self._codec: Codec[Any] | None = codec
        order, ties, mode = form
        self._plain = ties == "shared" and mode == "ordinal"
        self._ranking = _RANKING["ZREVRANK" if order == "desc" else "ZRANK"]
        self._ranging = _RANGING["ZREVRANGE" if order == "desc" else "ZRANGE"]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def score(self, member: KeyPart) -> float | None:
        """The score of a member; None for one who is not on the board."""
        if self._form[1] != "shared":
            return (await self.get(member)).score
        score = await _SCORING(self._redis, self._keys[0], member_text(member))
        return None if score is None else float(score)

    async def rank(self, member: KeyPart) -> int | None:
        """The rank of a member, from 1; None for one who is not on the board."""
        if not self._plain:
            return (await self.get(member)).rank
        before = await self._ranking(self._redis, self._keys[0], member_text(member))
        return None if before is None else int(before) + 1

    async def get(self, member: KeyPart) -> RankedMember:
        """The row of a member; without score and rank for one who is not on the board."""
        text = member_text(member)
        return self._row(text, *await _RANK(self._redis, *self._read, *self._form, self._noted, text))

    async def among(self, members: Iterable[KeyPart]) -> list[RankedMember]:
        """The rows of some members, the best first, with their ranks on the whole board; the missing ones at the end.

        Those who share a rank keep the order in which they were named.

        Args:
            members: Such as the friends of a player; each counts once.
        """
        texts = member_texts(members)
        if not texts:
            return []
        flat = await _RANK(self._redis, *self._read, *self._form, self._noted, *texts)
        found = [self._row(text, *flat[3 * at : 3 * at + 3]) for at, text in enumerate(texts)]
        return sorted(found, key=lambda row: (row.rank is None, row.rank))

    async def top(self, count: int) -> list[RankedMember]:
        """The best members, the best first."""
        return await self.page(0, count)

    async def page(self, offset: int, count: int) -> list[RankedMember]:
        """Rows from an offset, the best first; fewer at the end of the board.

        Args:
            offset: How many rows to leave out.
            count: How many to read.
        """
        first, count = check_count(offset, "offset", 0), check_count(count)
        if self._plain and self._codec is None:
            return _ranked(
                first, await self._ranging(self._redis, self._keys[0], first, first + count - 1, "WITHSCORES")
            )
        return self._rows(await _PAGE(self._redis, *self._shown, *self._form, self._noted, first, count))

    async def around(self, member: KeyPart, count: int) -> list[RankedMember]:
        """The rows around a member, who is among them: always so many, if the board has them.

        The member stands in the middle where there is room on both sides. Empty for one who is not on the board.
        """
        text = member_text(member)
        return self._rows(await _AROUND(self._redis, *self._read, *self._form, self._noted, text, check_count(count)))

    async def size(self) -> int:
        """How many members there are."""
        size: int = (await self._standing("", 0))[0]
        return size

    async def percentile(self, member: KeyPart) -> float | None:
        """How many percent of the other members have a worse score; None for one who is not on the board.

        The only member of a board is at 100.
        """
        size, worse, _ = await self._standing(member_text(member), 0)
        if worse < 0:
            return None
        return 100.0 if size == 1 else 100.0 * worse / (size - 1)

    async def score_at(self, percentile: float) -> float | None:
        """The score that so many percent of the members do not exceed, by nearest rank; None on an empty board."""
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile must be between 0 and 100, not {percentile!r}")
        score = (await self._standing("", percentile))[2]
        return float(score) if score else None

    async def snapshot(self, *, ttl: Seconds) -> Standings:
        """Copy the board, to page through it while it changes.

        Cost: the server copies the whole board at once, about 0.3 s for a million members.

        Args:
            ttl: Seconds that the copy lives.
        """
        copy = board_keys(self._parts, f":copy:{secrets.token_hex(8)}")
        board, places, levels, _, notes = copy
        await _SNAPSHOT(self._redis, *self._read, board, places, levels, notes, ttl_ms(ttl))
        return Standings(self._redis, self.name, self._parts, copy, self._form, self._codec)

    @property
    def _noted(self) -> int:
        return int(self._codec is not None)

    async def _standing(self, member: str, percentile: float) -> Any:
        order, ties, _ = self._form
        return await _STANDING(self._redis, *self._keys[:2], order, ties, member, repr(float(percentile)))

    def _rows(self, reply: list[Any]) -> list[RankedMember]:
        offset, rank, *flat = reply
        mode, rows, members = self._form[2], list[RankedMember](), stored_texts(flat[::3])
        for at in range(0, len(flat), 3):
            if at and (mode == "ordinal" or flat[at + 1] != flat[at - 2]):
                rank = rank + 1 if mode == "dense" else offset + at // 3 + 1
            rows.append(self._row(members[at // 3], rank, flat[at + 1], flat[at + 2]))
        return rows

    def _row(self, member: str, rank: int, score: bytes, note: bytes | None) -> RankedMember:
        meta = self._codec.decode(note) if note and self._codec is not None else None
        return RankedMember(member, float(score) if score else None, rank or None, meta)


def _ranked(first: int, reply: list[Any]) -> list[RankedMember]:
    """The rows of a bare range: pairs in RESP3, one after the other in RESP2."""
    pairs = reply if reply and isinstance(reply[0], list) else zip(reply[::2], reply[1::2], strict=True)
    with Stored("a member"):
        return [
            RankedMember(member.decode(), float(score), rank) for rank, (member, score) in enumerate(pairs, first + 1)
        ]
