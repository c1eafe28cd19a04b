"""Dead letters: messages that were delivered too often, rejected, or could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar, final

from aioredis_patterns._core.counts import check_count
from aioredis_patterns._core.durations import delay_ms
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import Stored, stored_texts
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import Codec, Seconds

from .delivery import Place
from .message import Envelope, unpack

__all__ = ("DeadLetter", "DeadLetters")

T = TypeVar("T")

_FIND: Final = Script(__package__, "dead_find", keys=2, fragments=("clock",), repeatable=True)
_LIST: Final = Script(__package__, "dead_list", keys=3, fragments=("message",), repeatable=True)
_REPLAY: Final = Script(__package__, "dead_replay", keys=5, fragments=("clock", "ready", "message", "wake"))
_DROP: Final = Script(__package__, "dead_drop", keys=3, fragments=("message",))

_BATCH: Final = 100
"""Dead letters in one call, so that the server is never busy for long."""


@final
@dataclass(frozen=True, slots=True)
class DeadLetter(Generic[T]):
    """A message that is delivered no more.

    Example:
        >>> async def main(redis):
        ...     queue = Queue(redis, "emails")
        ...     await queue.put("hello")
        ...     await (await queue.claim()).reject("no such address")
        ...     (letter,) = await queue.dead.list()
        ...     return letter.payload, letter.reason, letter.attempts
    """

    id: str
    payload: T | None  #: None when it could not be read
    body: bytes  #: the payload as it is stored
    headers: dict[str, str]
    attempts: int  #: how often it was delivered
    reason: str
    traceback: str  #: the end of it, when a handler raised; else empty
    enqueued: datetime  #: when it was put, by the server's clock
    died: datetime  #: when it was given up, by the server's clock


@final
class DeadLetters(Generic[T]):
    """The dead letters of one queue, which stay until they are replayed or dropped.

    Each method takes all of them, or those of some ids, or those of an error and an age. Letters of messages that die
    while it runs may be left out.

    Cost: of `list`, two round trips per hundred; of `replay` and `drop`, the same, and one when ids are given.

    Example:
        >>> async def main(redis):
        ...     queue = Queue(redis, "emails")
        ...     for letter in await queue.dead.list():
        ...         print(letter.id, letter.attempts, letter.reason, letter.traceback)
        ...     await queue.dead.drop(older_than=7 * 86_400)
        ...     return await queue.dead.replay(error="ConnectionError")
    """

    __slots__ = ("_codec", "_place")

    def __init__(self, place: Place, codec: Codec[T]) -> None:
        self._place, self._codec = place, codec

    async def list(
        self, start: int = 0, count: int = 100, *, error: str = "", older_than: Seconds = 0
    ) -> list[DeadLetter[T]]:
        """Those that died first in front.

        Args:
            start: How many of all to leave out.
            count: How many to read, at most.
            error: What the reason has in it, such as the name of an exception; empty for any.
            older_than: Seconds since the death, at least.
        """
        place, letters = self._place, list[DeadLetter[T]]()
        ids = await self._find(check_count(start, "start", 0), check_count(count, "count"), error, older_than)
        for at in range(0, len(ids), _BATCH):
            parts = await _LIST(place.redis, place.dead, place.messages, place.index, *ids[at : at + _BATCH])
            letters += [self._read(*parts[at : at + 6]) for at in range(0, len(parts), 6)]
        return letters

    async def replay(self, *ids: str, error: str = "", older_than: Seconds = 0) -> int:
        """Let these be claimed again, as if they had never been delivered; how many there were.

        Args:
            ids: Which ones; all that the other arguments mean when there is none.
            error: What the reason has in it.
            older_than: Seconds since the death, at least.

        Raises:
            OutcomeUnknownError: A reply was lost; replaying again does no harm.
        """
        place = self._place
        keys = (place.ready, place.dead, place.messages, place.index, place.waiters)
        return await self._each(_REPLAY, ids, error, older_than, *keys, place.order)

    async def drop(self, *ids: str, error: str = "", older_than: Seconds = 0) -> int:
        """Remove these for good; how many there were. Arguments as of `replay`.

        Raises:
            OutcomeUnknownError: A reply was lost; dropping again does no harm.
        """
        place = self._place
        return await self._each(_DROP, ids, error, older_than, place.dead, place.messages, place.index)

    async def _each(self, script: Script, ids: Sequence[str], error: str, older_than: Seconds, *arguments: str) -> int:
        if ids and (error or older_than):
            raise ValueError("give ids, or an error and an age, but not both")
        wanted = ids or await self._find(0, None, error, older_than)
        total = 0
        for at in range(0, len(wanted), _BATCH):
            total += await script(self._place.redis, *arguments, *wanted[at : at + _BATCH])
        return total

    async def _find(self, start: int, count: int | None, error: str, older_than: Seconds) -> Sequence[str]:
        """The ids of so many, or of all."""
        place, age_ms, ids = self._place, delay_ms(older_than, "older_than"), list[str]()
        seen = _BATCH
        while seen == _BATCH and (count is None or len(ids) < count):
            seen, *found = await _FIND(place.redis, place.dead, place.index, start, _BATCH, error, age_ms)
            ids += stored_texts(found, "a dead letter")
            start += _BATCH
        return ids[:count]

    def _read(
        self, id_: bytes, enqueued: bytes, died: bytes, attempts: bytes, why: bytes, record: bytes
    ) -> DeadLetter[T]:
        payload, message = None, Envelope({}, record)
        try:
            message = unpack(record)
            payload = self._codec.decode(message.body)
        except CodecError:
            pass  # which is why it is here
        reason, _, trace = why.decode(errors="replace").partition("\0")
        body, headers = message.body, message.headers
        with Stored("a dead letter"):
            times = (_time(enqueued), _time(died))
            return DeadLetter(id_.decode(), payload, body, headers, int(attempts), reason, trace, *times)


def _time(us: bytes) -> datetime:
    return datetime.fromtimestamp(int(float(us)) / 1_000_000, UTC)
