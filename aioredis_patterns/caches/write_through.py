"""Write-through: one call writes the database and the cache, and leaves no old value in the cache.

Before the database is written the cached value is taken out and a writer's token put beside it; afterwards the new
value is put in, if no other writer was at work meanwhile. While a writer is at work no loader stores anything. So
neither a process killed between the two, nor two writers that cross, leaves a value that the database does not have.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar, final

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import lease_ms
from aioredis_patterns._core.keys import check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import background, shielded
from aioredis_patterns.errors import PatternError
from aioredis_patterns.types import KeyPart, Seconds

from .cache import Cache
from .contents import DELETED, Deleted
from .entry import Lives, Place, joined_tags

__all__ = ("Write", "WriteThrough")

T = TypeVar("T")

Write = Callable[[Any, T | Deleted], Awaitable[object] | object]
"""Writes a value to the store, or deletes it there."""

_BEGIN: Final = Script(
    __package__, "write_through_begin", keys=3, fragments=("fragment_time", "fragment_writers"), repeatable=True
)
_RENEW: Final = Script(__package__, "write_through_renew", fragments=("fragment_time",), repeatable=True, lease=True)
_END: Final = Script(
    __package__,
    "write_through_end",
    keys=5,
    fragments=("fragment_time", "fragment_marks", "fragment_pack", "fragment_writers"),
    repeatable=True,
)

_MARGIN: Final = 0.1
"""Seconds that the end of a write may take beyond its deadline."""


class _Entry(NamedTuple):
    content: bytes
    lives: Lives
    names: str


_NOTHING: Final = _Entry(b"0000", Lives(0, 0, 0), "")


@final
class WriteThrough(Generic[T]):
    """Writes a value to the store behind a cache, and to the cache.

    Promise: when `set` or `delete` has returned, the cache has the new value or none, never the old one; and it has
    none while the store is being written. When the store's write fails, or the process dies in it, the cache has no
    value, and the next to ask loads what the store has.

    Limit of the promise: a process that stalls for longer than the lease and then still writes the store leaves what
    was loaded meanwhile, until the value's ttl ends. Two that write one key at the same time leave no value in the
    cache, as nobody knows whose write the store kept. What writes the store and does not go through here has to call
    `Cache.delete`.

    Cost: two round trips beside the store's write, and a hash for each key that is being written.

    Args:
        cache: Where the values are cached.
        write: Writes the store: a function, async or not, of a key and a value, or of a key and `DELETED`.
        lease: Seconds after which a writer that died is forgotten. It is renewed while the store is written.

    Example:
        >>> table = {}
        >>> async def write(key, value):
        ...     if value is DELETED:
        ...         table.pop(key, None)
        ...     else:
        ...         table[key] = value
        >>> cache = Cache(redis, "users", ttl=60)
        >>> users = WriteThrough(cache, write)
        >>> await users.set(42, {"name": "Ada"})
        True
        >>> table[42], await cache.get(42)
        ({'name': 'Ada'}, {'name': 'Ada'})
        >>> await users.delete(42)
        >>> table, await cache.get(42)
        ({}, None)
    """

    __slots__ = ("_cache", "_deadline", "_lease_ms", "_redis", "_write")

    def __init__(self, cache: Cache[T], write: Write[T], *, lease: Seconds = 10.0) -> None:
        self._cache = cache
        self._redis, self._deadline = cache._redis, cache._deadline  # noqa: SLF001  # of the same room
        self._write = write
        self._lease_ms = lease_ms(lease)

    async def set(self, key: KeyPart, value: T, *, ttl: Seconds | None = None, tags: Iterable[str] = ()) -> bool:
        """Write a value to the store, then to the cache; False when it is left out there, as two writers crossed.

        Args:
            key: Where.
            value: What.
            ttl: Seconds until it has to be loaded again; the cache's own when None.
            tags: Names by which it can be invalidated together with others.

        Raises:
            CodecError: The value cannot be encoded; nothing was written.
            redis.exceptions.RedisError: The old value could not be taken out; the store was not written.
            Exception: What `write` raised.
        """
        cache = self._cache
        content = cache._contents.encode(value)  # noqa: SLF001  # of the same room
        lives, names = cache._lifetimes.draw(ttl), joined_tags(tags)  # noqa: SLF001
        return await self._through(key, value, _Entry(content, lives, names))

    async def delete(self, key: KeyPart) -> None:
        """Delete a value from the store and from the cache.

        Raises:
            redis.exceptions.RedisError: It could not be taken out of the cache; the store was not written.
            Exception: What `write` raised.
        """
        await self._through(key, DELETED, None)

    async def _through(self, key: KeyPart, value: T | Deleted, entry: _Entry | None) -> bool:
        part, token = check_part(key, "key"), secrets.token_hex(8)
        place = self._cache._shard(part).place(part)  # noqa: SLF001
        await self._begin(part, place, token)
        stored: _Entry | None = None
        renewal = background(self._renew(place, token), "renewal of a writer's lease")
        try:
            written = self._write(key, value)
            if inspect.isawaitable(written):
                await written
            stored = entry
        finally:
            renewal.cancel()
            kept = await self._end(place, token, stored)
            self._cache._forget_copy(part)  # noqa: SLF001
        return kept

    async def _begin(self, part: str, place: Place, token: str) -> None:
        keys = (place.value, place.lead, place.writers)
        try:
            await _BEGIN(self._redis, *keys, token, self._lease_ms, place.channel, deadline=self._deadline)
        except asyncio.CancelledError:
            await self._end(place, token, None)  # the server may have begun
            raise
        finally:
            self._cache._forget_copy(part)  # noqa: SLF001

    async def _renew(self, place: Place, token: str) -> None:
        pause = self._lease_ms / 3000
        while True:
            await asyncio.sleep(pause)
            try:
                if not await _RENEW(self._redis, place.writers, token, self._lease_ms, deadline=pause):
                    return
            except (RedisError, PatternError):
                pass  # the next may succeed before the lease ends

    async def _end(self, place: Place, token: str, entry: _Entry | None) -> bool:
        """Put the entry back, or leave it out; where Redis does not answer the value is out and the lease ends."""
        content, lives, names = entry or _NOTHING
        known = (token, int(entry is not None), content[:4], *lives, names, place.channel, content[4:])
        call = _END(self._redis, *place.keys, place.writers, *known, deadline=self._deadline)
        try:
            return bool(await shielded(call, self._lease_ms / 1000 + _MARGIN))
        except (RedisError, PatternError, TimeoutError):
            return False
