"""Flushing: takes what is due to be written to the store, writes it, and notes what became of it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, final
from urllib.parse import unquote

from redis.exceptions import RedisError

from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import Stored
from aioredis_patterns._core.tasks import background
from aioredis_patterns.errors import PatternError
from aioredis_patterns.types import KeyPart

from .contents import DELETED, Contents
from .entry import Shard

if TYPE_CHECKING:
    from .cache import Cache

__all__ = ("FlushLimits", "Flusher", "Record", "WriteMany")

T = TypeVar("T")

WriteMany = Callable[[dict[Any, Any]], Awaitable[object] | object]
"""Writes values to the store, and deletes there what is `DELETED`."""

_CLAIM: Final = Script(__package__, "write_behind_claim", keys=3, fragments=("fragment_time",), repeatable=True)
_RENEW: Final = Script(__package__, "write_behind_renew", repeatable=True, lease=True)
_DONE: Final = Script(__package__, "write_behind_done", keys=5, fragments=("fragment_time",), repeatable=True)
_FAILED: Final = Script(__package__, "write_behind_failed", keys=4, fragments=("fragment_time",), repeatable=True)

_LONGEST_SLEEP: Final = 1.0
"""Seconds until a flusher looks for the work that others have left."""

_LONGEST_PAUSE: Final = 60.0
"""Seconds between two tries of a write, at most."""

_logger = logging.getLogger("aioredis_patterns")


@final
class Record:
    """What the store has to be told of one key.

    Args:
        part: The key, escaped.
        data: The record: version, tries, then what `head` made, then the value's bytes.
    """

    __slots__ = ("_kind", "attempts", "content", "part", "version")

    def __init__(self, part: str, data: bytes) -> None:
        self.part = part
        self.version = data[:16]
        with Stored("a write that waits"):
            self.attempts = int(data[16:20])
        self._kind = data[20:22]
        self.content = data[22:]

    @staticmethod
    def head(key: KeyPart, content: bytes) -> bytes:
        """What stands before the value's bytes: the kind of the key and of the write, and the codec."""
        return (b"s" if isinstance(key, str) else b"i") + (b"v" + content[:4] if content else b"d0000")

    @property
    def key(self) -> KeyPart:
        """The key as its writer gave it."""
        text = unquote(self.part)
        return int(text) if self._kind[:1] == b"i" else text

    def value(self, contents: Contents[Any]) -> Any:
        """The value, or `DELETED`.

        Raises:
            CodecError: It was written with another codec.
        """
        return DELETED if self._kind[1:] == b"d" else contents.decode(self.content)


class FlushLimits(NamedTuple):
    """How much is written at a time, and how often it is tried."""

    ahead_ms: int
    """How far `flush` looks ahead, so that it finds what was put just now."""
    batch: int
    """Records in one call of `write_many`."""
    lease_ms: int
    """After which others take what was taken here."""
    attempts: int
    """Tries after which a write is a dead letter."""
    pause: float
    """Seconds until the second try."""


@final
class Flusher(Generic[T]):
    """Writes to the store what is due, for one process, on one event loop.

    Args:
        cache: Whose writes.
        write_many: Writes the store.
        limits: How much at a time, and how often.
    """

    def __init__(
        self,
        cache: Cache[T],
        write_many: WriteMany,
        limits: FlushLimits,
    ) -> None:
        self._redis, self._deadline, self._name = cache._redis, cache._deadline, cache.name  # noqa: SLF001
        self._shards: Sequence[Shard] = cache._shards  # noqa: SLF001  # of the same room
        self._contents: Contents[T] = cache._contents  # noqa: SLF001
        self._write_many = write_many
        self._limits = limits
        self._more = asyncio.Event()
        self._turn = asyncio.Lock()
        self._sleeps_until = 0.0
        self._stopping = False
        self._running: asyncio.Task[None] | None = None

    def start(self, within: float) -> None:
        """Write in the background from now on; there will be something to do within so many seconds."""
        if self._running is None or self._running.done():
            self._stopping = False
            self._running = background(self._run(), "write-behind")
        if asyncio.get_running_loop().time() + within < self._sleeps_until:
            self._more.set()

    def stop(self) -> None:
        """Write no more in the background, as soon as what is being written is."""
        self._stopping = True
        self._more.set()

    async def end(self) -> None:
        """Stop, and wait for it."""
        if self._running is not None and not self._running.done():
            self.stop()
            await self._running

    async def _run(self) -> None:
        """Write what is due, again and again, until stopped."""
        while not self._stopping:
            await self._sleep(await self._round())

    async def flush(self) -> int:
        """Write everything that was put; gives the number of records that the store has taken.

        Raises:
            Exception: The first that a write ended with.
        """
        tally = _Tally()
        await self._drain(self._limits.ahead_ms + 1, tally)
        if tally.error is not None:
            raise tally.error
        return tally.written

    async def _round(self) -> float:
        """Write what is due; gives the seconds until there is more."""
        tally = _Tally()
        try:
            await self._drain(0, tally)
        except (RedisError, PatternError) as error:
            tally.error = error
        if tally.error is not None:
            _logger.warning("write-behind of cache %r: %r; it is tried again", self._name, tally.error)
        return min(tally.next_ms / 1000, _LONGEST_SLEEP)

    async def _sleep(self, seconds: float) -> None:
        self._more.clear()
        self._sleeps_until = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout(0 if self._stopping else seconds):
                await self._more.wait()
        except TimeoutError:
            pass
        self._sleeps_until = 0.0

    async def _drain(self, ahead_ms: int, tally: _Tally) -> None:
        """Write what will be due in so many milliseconds, and not what is put meanwhile, so that it comes to an end."""
        async with self._turn:
            until = asyncio.get_running_loop().time() + ahead_ms / 1000
            for shard in self._shards:
                await self._drain_shard(shard, until, tally)

    async def _drain_shard(self, shard: Shard, until: float, tally: _Tally) -> None:
        keys, now = (shard.dirty, shard.due, shard.leased), asyncio.get_running_loop().time
        while True:
            ahead_ms = round((until - (asked := now())) * 1000)
            until_us, next_ms, *pairs = await _CLAIM(
                self._redis, *keys, self._limits.batch, self._limits.lease_ms, ahead_ms, deadline=self._deadline
            )
            if not pairs:
                tally.next_ms = min(tally.next_ms, next_ms if next_ms >= 0 else math.inf)
                return
            records = [Record(part.decode(), data) for part, data in zip(pairs[::2], pairs[1::2], strict=True)]
            await self._write(shard, _Claim(records, until_us, asked, until), tally)

    async def _write(self, shard: Shard, claim: _Claim, tally: _Tally) -> None:
        """Write what was claimed: together what is new, alone what has failed before."""
        together = [record for record in claim.records if not record.attempts]
        alone = [[record] for record in claim.records if record.attempts]
        renewal = background(self._renew(shard, claim), "renewal of a flusher's lease")
        try:
            for records in ([together] if together else []) + alone:
                await self._tell_store(shard, records, claim, tally)
        finally:
            renewal.cancel()

    async def _tell_store(self, shard: Shard, records: list[Record], claim: _Claim, tally: _Tally) -> None:
        try:
            written = self._write_many({record.key: record.value(self._contents) for record in records})
            if inspect.isawaitable(written):
                await written
        except Exception as error:  # noqa: BLE001  # whatever the store says, the others' writes go on
            tally.error = tally.error or error
            await asyncio.gather(*(self._failed(shard, record, claim) for record in records))
        else:
            tally.written += len(records)
            await asyncio.gather(*(self._done(shard, record, claim) for record in records))

    async def _done(self, shard: Shard, record: Record, claim: _Claim) -> None:
        place = shard.place(record.part)
        keys = (place.value, place.lead, shard.dirty, shard.due, shard.leased)
        known = (record.part, record.version, claim.until_us, place.channel, record.content)
        await _DONE(self._redis, *keys, *known, deadline=self._deadline)

    async def _failed(self, shard: Shard, record: Record, claim: _Claim) -> None:
        pause = min(self._limits.pause * 2 ** min(record.attempts, 20), _LONGEST_PAUSE)
        pause += max(claim.drained_until - asyncio.get_running_loop().time(), 0)  # or this drain would take it again
        keys = (shard.dirty, shard.due, shard.leased, shard.dead)
        known = (record.part, record.version, claim.until_us, round(pause * 1000), self._limits.attempts)
        await _FAILED(self._redis, *keys, *known, deadline=self._deadline)

    async def _renew(self, shard: Shard, claim: _Claim) -> None:
        parts, now = [record.part for record in claim.records], asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._limits.lease_ms / 3000)
            asked = now()
            until_us = claim.until_us + round((asked - claim.asked) * 1_000_000)
            try:
                await _RENEW(self._redis, shard.leased, claim.until_us, until_us, *parts)
            except (RedisError, PatternError):
                continue  # the next may succeed before the lease ends
            claim.until_us, claim.asked = until_us, asked


@dataclass(slots=True)
class _Claim:
    """Records that were taken."""

    records: list[Record]
    until_us: int
    """When the lease ends, by the server's clock."""
    asked: float
    """When it was asked for, by the loop's clock."""
    drained_until: float
    """What is due by then is taken too, by the loop's clock."""


@dataclass(slots=True)
class _Tally:
    """What became of the records of one round."""

    written: int = 0
    error: Exception | None = None
    next_ms: float = math.inf
