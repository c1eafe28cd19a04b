"""A leaderboard: members by score, and the rank of each at the cost of a logarithm.

Promise: a write and everything that depends on it (the place among equals, the distinct scores, the cap, the
metadata) are one script; a rank and the rows around it are one moment's. With `ties="first"`, who reached a score
first stays ahead of those who reach it later, also by `increment`.

Limit of the promise: scores are doubles; integers are exact up to 2**53 and refused beyond. The board has no expiry.
Redis replicates after it has answered, so a failover may forget the last scores.

Cost: one round trip for each call. All keys of a board are in one slot. A member costs what it costs in a bare ZSet;
with `ties="first"` 12 bytes and a field of a Hash more; dense ranks add a ZSet and a Hash of the distinct scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final, Literal, final

from aioredis_patterns._core.commands import Command
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.members import member_text
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.codecs import Json
from aioredis_patterns.types import AnyRedis, Codec, KeyPart

from .scores import Order, RankMode, Ties, check_count, check_form, member_texts, score_text
from .standings import Standings, board_keys

__all__ = ("Leaderboard",)

_WRITING: Final = ("fragment_board", "fragment_writing")
_PUT: Final = Script(__package__, "leaderboard_put", keys=5, fragments=(*_WRITING, "fragment_putting"))
_REMOVE: Final = Script(__package__, "leaderboard_remove", keys=5, fragments=_WRITING)
_ADD: Final = Command("ZADD")
_MERGE: Final = Script(__package__, "leaderboard_merge", keys=5, fragments=_WRITING)


@final
class Leaderboard(Standings):
    """Members, the best first.

    The object is only a definition: it does no I/O when it is made, and any number of tasks may share it.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the board is called.
        order: "desc" where more is better, "asc" where less is.
        ties: "first" puts who reached a score first ahead of its equals; "shared" orders them by name.
        rank_mode: Of equals "ordinal" ranks each by its place, 1 2 3 4; "competition" gives them one rank and leaves
            out those that follow, 1 2 2 4; "dense" leaves out none, 1 2 2 3.
        maxlen: How many members are kept, the best; all when None. A board that has far more loses a thousand with
            each write.
        codec: How metadata become bytes; `codecs.Json` when None.
        meta: Whether reads bring the metadata with them.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> board = Leaderboard(redis, "weekly", ties="first")
        >>> await board.set("ada", 1500)
        >>> await board.increment("bob", 1400)
        1400.0
        >>> await board.submit("bob", 1500)
        True
        >>> [(row.rank, row.member) for row in await board.top(10)]
        [(1, 'ada'), (2, 'bob')]
    """

    __slots__ = ("_bare", "_better", "_most", "_notes")

    def __init__(  # noqa: PLR0913  # what a board is, is said in one place
        self,
        redis: AnyRedis,
        name: str,
        *,
        order: Order = "desc",
        ties: Ties = "shared",
        rank_mode: RankMode = "ordinal",
        maxlen: int | None = None,
        codec: Codec[Any] | None = None,
        meta: bool = False,
        prefix: str = PREFIX,
    ) -> None:
        keys, form = Keys(name, prefix), check_form(order, ties, rank_mode)
        self._most = 0 if maxlen is None else check_count(maxlen, "maxlen")
        self._notes: Codec[Any] = codec or Json()
        # Nothing depends on a score then but its place in the ZSet.
        self._bare = ties == "shared" and rank_mode != "dense" and not self._most
        self._better = "GT" if order == "desc" else "LT"
        super().__init__(redis, name, keys, board_keys(keys), form, self._notes if meta else None)

    async def set(self, member: KeyPart, score: float, meta: object = None) -> None:
        """Give a member a score.

        Args:
            member: Who.
            score: An int within 2**53, or a finite float.
            meta: Stored beside it, such as a name to show; None leaves what there is.

        Raises:
            OutcomeUnknownError: The reply was lost; the score may be set.
        """
        if self._bare and meta is None:
            await _ADD(self._redis, self._keys[0], score_text(score), member_text(member))
        else:
            await self._put("set", member, score, meta)

    async def increment(self, member: KeyPart, by: float = 1, meta: object = None) -> float:
        """Add to the score of a member, 0 for a new one; the score it has now.

        Raises:
            OverflowError: The sum would be infinite, or leave the exact integers; the score is what it was.
            OutcomeUnknownError: The reply was lost; it may have been added.
        """
        done, score = await self._put("increment", member, by, meta)
        if done < 0:
            raise OverflowError(f"the score of {member!r} would be beyond what a double holds")
        return float(score)

    async def submit(self, member: KeyPart, score: float, meta: object = None) -> bool:
        """Give a member a score if it is better than the one it has; whether it was, or the first.

        Raises:
            OutcomeUnknownError: The reply was lost; to submit it again does no harm.
        """
        if self._bare and meta is None:
            return bool(
                await _ADD(self._redis, self._keys[0], self._better, "CH", score_text(score), member_text(member))
            )
        return bool((await self._put("submit", member, score, meta))[0])

    async def remove(self, *members: KeyPart) -> int:
        """Take members off the board, with their metadata; how many were there.

        Raises:
            OutcomeUnknownError: The reply was lost; to remove them again does no harm.
        """
        texts = member_texts(members)
        if not texts:
            return 0
        removed: int = await _REMOVE(self._redis, *self._keys, *self._form, *texts)
        return removed

    async def merge(
        self,
        boards: Sequence[Leaderboard],
        *,
        weights: Iterable[float] | None = None,
        how: Literal["sum", "min", "max"] = "sum",
    ) -> int:
        """Replace this board by what others make together; how many members it has then.

        Equals are in the order in which the boards, one after the other, have them.

        Cost: the server reads every row of them in one script, about 2 us each. In a cluster all of them must be in
        one slot, which boards of different names are not: the server refuses it with CROSSSLOT.

        Args:
            boards: Which ones.
            weights: What the scores of each are multiplied by; 1 when None.
            how: What becomes of a member of several.

        Raises:
            OverflowError: A sum would be infinite; the board is what it was.
            OutcomeUnknownError: The reply was lost; the board may have been replaced.
        """
        factors = [1.0] * len(boards) if weights is None else list(weights)
        if not boards or len(factors) != len(boards):
            raise ValueError("merge needs a board or more, and a weight for each")
        if how not in ("sum", "min", "max"):
            raise ValueError(f"how must be 'sum', 'min' or 'max', not {how!r}")
        each = [(score_text(by), *board._form[:2]) for by, board in zip(factors, boards, strict=True)]  # noqa: SLF001
        keys = *self._keys, *(board._keys[0] for board in boards)  # noqa: SLF001
        merged: int = await _MERGE.taking(len(keys))(self._redis, *keys, *self._form, self._most, how, *chain(*each))
        if merged < 0:
            raise OverflowError("the merged board would have scores beyond what a double holds")
        return merged

    async def _put(self, verb: str, member: KeyPart, amount: float, meta: object) -> Any:
        note = b"" if meta is None else self._notes.encode(meta)
        known = self._most, verb, member_text(member), score_text(amount), note
        return await _PUT(self._redis, *self._keys, *self._form, *known)
