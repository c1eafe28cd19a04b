"""Write-behind: a write is over when Redis has it; the database is told a moment later, of many writes at once.

What the database has still to be told lies in Redis beside the cache, with no expiry and a copy of the value, written
by the script that writes the cached value. Whoever flushes takes it under a lease, writes it, and forgets it if there
is nothing newer; a flusher that dies loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, Self, TypeVar, final

from aioredis_patterns._core.counts import EXACT, check_count
from aioredis_patterns._core.durations import delay_ms, lease_ms, timeout_seconds
from aioredis_patterns._core.keys import check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import KeyPart, Seconds

from .cache import Cache
from .contents import DELETED, Contents, Deleted
from .entry import Lives, joined_tags
from .flushing import Flusher, FlushLimits, Record, WriteMany

__all__ = ("DeadWrite", "WriteBehind")

T = TypeVar("T")

_logger = logging.getLogger("aioredis_patterns")

_PUT: Final = Script(
    __package__, "write_behind_put", keys=7, fragments=("fragment_time", "fragment_marks", "fragment_pack")
)
_READ: Final = Script(__package__, "write_behind_read", repeatable=True)
_REPLAY: Final = Script(__package__, "write_behind_replay", keys=3, fragments=("fragment_time",), repeatable=True)

_FOREVER: Final = Lives(1, 1, 1)


@dataclass(frozen=True, slots=True)
class DeadWrite(Generic[T]):
    """A write that the store refused too often.

    >>> DeadWrite("42", "Ada", attempts=10)
    DeadWrite(key='42', value='Ada', attempts=10)
    """

    key: KeyPart
    #: What was to be written, or `DELETED`.
    value: T | Deleted
    attempts: int


@final
class WriteBehind(Generic[T]):
    """Writes values to a cache at once, and to the store behind it a moment later, many in one call.

    Promise: what `set` and `delete` have returned from reaches the store at least once, even if this process dies:
    another that uses the cache in this way tells it. The last write of a key wins, and what is written of one key is
    written in order. `get` reads what was written, though the store may not have it yet.

    Limit of the promise: Redis holds what the store does not have, so a server that loses it, or evicts, loses
    writes: give it persistence and `noeviction`. A flusher that stalls for longer than the lease and then still
    writes may write an older value after a newer one. Who reads by `Cache.get_or_load` when a value has been evicted
    gets what the store has; `get` of this class does not.

    Cost: one round trip a write. Three keys a shard, without expiry as long as they are not empty, and one for the
    dead letters.

    Args:
        cache: Where the values are cached.
        write_many: Writes the store: a function, async or not, of a mapping of keys to values, or to `DELETED`. What
            it is given again, after an error, is given alone.
        delay: Seconds that a write may wait for company.
        batch: Writes in one call, at most.
        lease: Seconds after which the writes that a dead flusher had taken are taken by another.
        attempts: Tries after which a write is a dead letter.
        pause: Seconds until the second try; twice as long before each further one, up to a minute. What fails in a
            `flush` waits for its `delay` as well.

    Example:
        >>> table = {}
        >>> async def write_many(rows):
        ...     table.update(rows)
        >>> cache = Cache(redis, "users", ttl=60)
        >>> async with WriteBehind(cache, write_many) as users:
        ...     await users.set(42, "Ada")
        ...     await users.get(42)
        'Ada'
        >>> table
        {42: 'Ada'}
    """

    def __init__(
        self,
        cache: Cache[T],
        write_many: WriteMany,
        *,
        delay: Seconds = 0.5,
        batch: int = 100,
        lease: Seconds = 30.0,
        attempts: int = 10,
        pause: Seconds = 1.0,
    ) -> None:
        self._cache = cache
        self._delay_ms = delay_ms(delay)
        self._redis, self._deadline = cache._redis, cache._deadline  # noqa: SLF001  # of the same room
        self._shard, self._shards = cache._shard, cache._shards  # noqa: SLF001
        self._contents: Contents[T] = cache._contents  # noqa: SLF001
        most, tries = check_count(batch, "batch", most=EXACT), check_count(attempts, "attempts")
        limits = FlushLimits(self._delay_ms, most, lease_ms(lease), tries, timeout_seconds(pause, "pause"))
        self._new_flusher: Callable[[], Flusher[T]] = partial(Flusher, cache, write_many, limits)
        self._flushers: dict[asyncio.AbstractEventLoop, Flusher[T]] = {}

    async def set(self, key: KeyPart, value: T, *, ttl: Seconds | None = None, tags: Iterable[str] = ()) -> None:
        """Put a value into the cache now and into the store soon.

        Args:
            key: Where.
            value: What.
            ttl: Seconds until it has to be loaded again; the cache's own when None.
            tags: Names by which it can be invalidated together with others.

        Raises:
            CodecError: The value cannot be encoded.
            OutcomeUnknownError: The reply was lost; the value may have been put or not.
        """
        content = self._contents.encode(value)
        await self._put(key, content, self._cache._lifetimes.draw(ttl), joined_tags(tags))  # noqa: SLF001

    async def delete(self, key: KeyPart) -> None:
        """Delete a value from the cache now and from the store soon.

        Raises:
            OutcomeUnknownError: The reply was lost; it may have been deleted or not.
        """
        await self._put(key, b"", _FOREVER, "")

    async def get(self, key: KeyPart, default: Any = None) -> Any:
        """What was written last, whether the store has it or not; else what the cache has, else the default.

        Raises:
            CodecError: What waits for the store was written with another codec.
        """
        part = check_part(key, "key")
        reading = _READ(self._redis, self._shard(part).dirty, part, deadline=self._deadline)
        record, cached = await asyncio.gather(reading, self._cache.get(key, default))
        if record is None:
            return cached
        value = Record(part, record).value(self._contents)
        return default if value is DELETED else value

    async def flush(self) -> int:
        """Write now what was put before; gives the number of writes that the store has taken.

        Raises:
            Exception: What `write_many` raised, of the first write that failed; it will be tried again.
        """
        return await self._flusher.flush()

    async def dead(self) -> list[DeadWrite[T]]:
        """The writes that the store refused too often.

        Raises:
            CodecError: One was written with another codec.
        """
        letters: list[DeadWrite[T]] = []
        for shard in self._shards:
            found = await _READ(self._redis, shard.dead, "", deadline=self._deadline)
            for part, data in zip(found[::2], found[1::2], strict=True):
                record = Record(part.decode(), data)
                value: T | Deleted = record.value(self._contents)
                letters.append(DeadWrite(record.key, value, record.attempts))
        return letters

    async def replay(self) -> int:
        """Try the dead letters again, except those whose key was written since; gives their number."""
        revived = 0
        for shard in self._shards:
            revived += await _REPLAY(self._redis, shard.dirty, shard.due, shard.dead, deadline=self._deadline)
        self._start()
        return revived

    async def aclose(self, timeout: Seconds = 30.0) -> None:
        """Flush, and stop; what cannot be written now stays in Redis for the next who uses the cache in this way.

        Args:
            timeout: Seconds that it may take; what is being written then is cancelled.

        Raises:
            TimeoutError: It took longer.
            Exception: What `write_many` raised of the first write that failed.
        """
        async with asyncio.timeout(timeout_seconds(timeout)):
            await self._flusher.end()
            await self._flusher.flush()

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.aclose()
        except Exception:
            if kind is None:
                raise
            _logger.exception("write-behind of cache %r did not end well", self._cache.name)

    async def _put(self, key: KeyPart, content: bytes, lives: Lives, names: str) -> None:
        part = check_part(key, "key")
        shard = self._shard(part)
        place = shard.place(part)
        head, codec, body = Record.head(key, content), content[:4] or b"0000", content[4:]
        known = (part, head, int(not content), self._delay_ms, codec, *lives, names, place.channel, body)
        try:
            await _PUT(self._redis, *place.keys, shard.dirty, shard.due, shard.leased, *known, deadline=self._deadline)
        finally:
            self._cache._forget_copy(part)  # noqa: SLF001
            self._start()  # where the reply was lost, it may have been put all the same

    def _start(self) -> None:
        self._flusher.start(self._delay_ms / 1000)

    @property
    def _flusher(self) -> Flusher[T]:
        """That of the event loop that runs now."""
        loop = asyncio.get_running_loop()
        flusher = self._flushers.get(loop)
        if flusher is None:
            for closed in [at for at in list(self._flushers) if at.is_closed()]:
                self._flushers.pop(closed, None)
            flusher = self._flushers[loop] = self._new_flusher()
        return flusher
