"""Dead entries: what a group was given too often, rejected, or could not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar, final

from aioredis_patterns._core.counts import check_count
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import Stored
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import Codec

from .entry_delivery import Post
from .event_log import checked_id

__all__ = ("DeadEntries", "DeadEntry")

T = TypeVar("T")

_REPLAY: Final = Script(__package__, "group_replay", keys=4, fragments=("clock", "entry", "pending", "ring"))
_DEAD: Final = Script(__package__, "group_dead", fragments=("entry",))

_PAGE: Final = 100
_PARTS: Final = 8


@final
@dataclass(frozen=True, slots=True)
class DeadEntry(Generic[T]):
    """An entry that its group gets no more.

    Example:
        >>> async def main(redis):
        ...     group = ConsumerGroup(EventLog(redis, "orders"), "billing")
        ...     for letter in await group.dead.list():
        ...         print(letter.entry_id, letter.attempts, letter.reason, letter.payload)
    """

    id: str  #: of the dead letter
    entry_id: str  #: of the entry, in the log
    payload: T | None  #: None when it could not be read
    body: bytes  #: the payload as it is stored
    attempts: int  #: how often it was delivered
    reason: str
    died: datetime  #: when it was given up, by the server's clock
    partition: int


@final
class DeadEntries(Generic[T]):
    """The dead letters of one group, which stay until they are replayed or dropped.

    Cost: one round trip for every hundred; `replay` and `drop` take one more for every hundred.

    Example:
        >>> async def main(redis):
        ...     group = ConsumerGroup(EventLog(redis, "orders"), "billing")
        ...     await group.dead.drop(*[letter.id for letter in await group.dead.list() if letter.attempts == 1])
        ...     return await group.dead.replay()
    """

    __slots__ = ("_codec", "_posts")

    def __init__(self, posts: Sequence[Post], codec: Codec[T]) -> None:
        self._posts, self._codec = posts, codec

    async def list(self, *, count: int | None = None) -> list[DeadEntry[T]]:
        """Those that died first in front, so many at most."""
        most = None if count is None else check_count(count, "count")
        found = [letter for part in range(len(self._posts)) for letter in await self._of(part)]
        return sorted(found, key=lambda letter: letter.died)[:most]

    async def replay(self, *ids: str) -> int:
        """Let these, or all, be delivered to the group again, as if they had never been; how many there were.

        Those whose entry was trimmed meanwhile stay: nothing but their dead letter is left of them.

        Raises:
            OutcomeUnknownError: A reply was lost; replaying again does no harm.
        """
        total = 0
        for post, wanted in zip(self._posts, await self._wanted(ids), strict=True):
            keys = (post.log, post.dead, post.later, post.waiters)
            for at in range(0, len(wanted), _PAGE):
                total += await _REPLAY(post.redis, *keys, post.group, post.visibility_ms, *wanted[at : at + _PAGE])
        return total

    async def drop(self, *ids: str) -> int:
        """Remove these, or all, for good; how many there were.

        Raises:
            OutcomeUnknownError: A reply was lost; dropping again does no harm.
        """
        total = 0
        for post, wanted in zip(self._posts, await self._wanted(ids), strict=True):
            for at in range(0, len(wanted), _PAGE):
                reply = await _DEAD(post.redis, post.dead, "0-0", 1, *wanted[at : at + _PAGE])
                total += reply[0]
        return total

    async def _wanted(self, ids: Sequence[str]) -> Sequence[Sequence[str]]:
        """Of each partition the letters that are meant."""
        if ids:
            return [[checked_id(id_) for id_ in ids]] * len(self._posts)
        return [[letter.id for letter in await self._of(part)] for part in range(len(self._posts))]

    async def _of(self, partition: int) -> Sequence[DeadEntry[T]]:
        post, after, found, page = self._posts[partition], "0-0", list[DeadEntry[T]](), _PAGE
        while page == _PAGE:
            _, *parts = await _DEAD(post.redis, post.dead, after, _PAGE)
            letters = [self._read(partition, *parts[at : at + _PARTS]) for at in range(0, len(parts), _PARTS)]
            found, page = found + letters, len(letters)
            after = found[-1].id if found else after
        return found

    def _read(self, partition: int, id_: bytes, entry_id: bytes, *rest: bytes) -> DeadEntry[T]:
        attempts, reason, died, _, _, body = rest
        payload: Any = None
        try:
            payload = self._codec.decode(body)
        except CodecError:
            pass  # which is why it is here
        why = reason.decode(errors="replace")
        with Stored("a dead letter"):
            at = datetime.fromtimestamp(int(died) / 1_000_000, UTC)
            return DeadEntry(id_.decode(), entry_id.decode(), payload, body, int(attempts), why, at, partition)
