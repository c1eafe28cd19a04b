"""Dead letters: messages that were delivered too often, rejected, or could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar, final

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import Codec

from .delivery import Place
from .message import Envelope, unpack

__all__ = ("DeadLetter", "DeadLetters")

T = TypeVar("T")

_LIST: Final = Script(__package__, "dead_list", keys=3, repeatable=True)
_REPLAY: Final = Script(__package__, "dead_replay", keys=5, fragments=("clock", "ready", "message", "wake"))
_DROP: Final = Script(__package__, "dead_drop", keys=3, fragments=("message",))

_BATCH: Final = 100


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
    died: datetime  #: by the server's clock


@final
class DeadLetters(Generic[T]):
    """The dead letters of one queue, which stay until they are replayed or dropped.

    Example:
        >>> async def main(redis):
        ...     queue = Queue(redis, "emails")
        ...     for letter in await queue.dead.list():
        ...         print(letter.id, letter.attempts, letter.reason)
        ...     return await queue.dead.replay()
    """

    __slots__ = ("_codec", "_place")

    def __init__(self, place: Place, codec: Codec[T]) -> None:
        self._place, self._codec = place, codec

    async def list(self, start: int = 0, count: int = 100) -> list[DeadLetter[T]]:
        """Those that died first in front.

        Args:
            start: How many to leave out.
            count: How many to read, at most.
        """
        if start < 0 or count < 1:
            raise ValueError(f"start must be at least 0 and count at least 1, not {start!r} and {count!r}")
        place = self._place
        parts = await _LIST(place.redis, place.dead, place.messages, place.index, start, count)
        return [self._read(*parts[at : at + 5]) for at in range(0, len(parts), 5)]

    async def replay(self, *ids: str) -> int:
        """Let these be claimed again, as if they had never been delivered, or all; how many there were.

        Raises:
            OutcomeUnknownError: A reply was lost; replaying again does no harm.
        """
        place = self._place
        keys = (place.ready, place.dead, place.messages, place.index, place.waiters)
        return await self._each(_REPLAY, ids, *keys, place.order)

    async def drop(self, *ids: str) -> int:
        """Remove these for good, or all; how many there were.

        Raises:
            OutcomeUnknownError: A reply was lost; dropping again does no harm.
        """
        place = self._place
        return await self._each(_DROP, ids, place.dead, place.messages, place.index)

    async def _each(self, script: Script, ids: tuple[str, ...], *arguments: str) -> int:
        """A hundred per call, so that the server is never busy for long."""
        total = 0
        if ids:
            for at in range(0, len(ids), _BATCH):
                total += await script(self._place.redis, *arguments, *ids[at : at + _BATCH])
            return total
        while done := await script(self._place.redis, *arguments):
            total += done
        return total

    def _read(self, id_: bytes, died: bytes, attempts: bytes, reason: bytes, record: bytes) -> DeadLetter[T]:
        payload, message = None, Envelope({}, record)
        try:
            message = unpack(record)
            payload = self._codec.decode(message.body)
        except CodecError:
            pass  # which is why it is here
        when = datetime.fromtimestamp(int(float(died)) / 1_000_000, UTC)
        said = reason.decode(errors="replace")
        return DeadLetter(id_.decode(), payload, message.body, message.headers, int(attempts), said, when)
