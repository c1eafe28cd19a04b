"""Near: copies of cached values in the process, which the server tells of when they are out of date.

A value that is read is remembered by the server for this client, and the first change to it, to the marks of its
shard, or its end, is told on the connection that read it. Before a read is sent a placeholder is put down; what is
told takes it away, so a change that overtakes its own reply is never kept. When the connection is lost, or gives no
sign of life, nobody is told any more, and every copy is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, final

from redis.exceptions import NoScriptError, RedisError

from aioredis_patterns._core.durations import lease_ms
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.errors import CodecError, LoadFailedError
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

from .contents import MISSING, Contents
from .copies import Copies, Copy
from .entry import Reader, Shard, content_of
from .outage import SILENCE, OpenReader

__all__ = ("Near", "NearCache")

_READ: Final = Script(
    __package__, "near_read", keys=3, fragments=("fragment_time", "fragment_marks", "fragment_state"), repeatable=True
)

_FRESH, _STALE, _EARLY = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NearCache:
    """How many copies a cache keeps in the process, and for how long.

    Promise: a copy is dropped when the server tells of a change, which takes as long as the way through the network;
    what this process writes is out of its own copies when the write returns.

    Limit of the promise: where the connection dies without a sign, a copy may be older than the value for `check`
    and the time that a sign of life may take, which is `check` too.

    Cost: one connection, a note on the server for each copy, and the memory of the copies. `invalidate` and `clear`
    drop all copies of the cache.

    Args:
        max_entries: Copies to keep.
        max_bytes: Bytes that their contents may take.
        max_age: Seconds after which a copy is read anew, whatever the server said.
        check: Seconds between two signs of life that the server is asked for.

    Example:
        >>> users = Cache(redis, "users", ttl=3600, near=NearCache(max_entries=10_000))
        >>> await users.set(42, "Ada")
        True
        >>> await users.get(42), await users.get(42)  # the second comes from the process
        ('Ada', 'Ada')
    """

    max_entries: int = 10_000
    max_bytes: int = 64 * 1024 * 1024
    max_age: Seconds = 60.0
    check: Seconds = 1.0

    def __post_init__(self) -> None:
        lease_ms(self.max_age, "max_age")
        lease_ms(self.check, "check")
        if self.max_entries < 1 or self.max_bytes < 1:
            raise ValueError("a near cache must have room for at least one entry and one byte")


@final
class Near:
    """The copies of one cache in this process.

    Args:
        redis: The client.
        options: What bounds them.
        shards: Where the values lie.
        reader: Reads what cannot be copied.
        contents: Decodes what is not shared.
        lead: Says how many times the duration of its load an entry counts as expiring early.
        deadline: Seconds that one read may take; the client's own when None.
    """

    __slots__ = ("_contents", "_copies", "_deadline", "_lead", "_max_age", "_options", "_reader", "_redis", "_shards")

    def __init__(
        self,
        redis: AnyRedis,
        options: NearCache,
        shards: Sequence[Shard],
        reader: Reader | OpenReader,
        contents: Contents[Any],
        *,
        lead: Callable[[], float],
        deadline: float | None,
    ) -> None:
        self._redis = redis
        self._options = options
        self._shards = shards
        self._reader = reader
        self._contents = contents
        self._lead = lead
        self._deadline = deadline
        self._max_age = lease_ms(options.max_age, "max_age") / 1000
        self._copies: Copies | None = None

    def value(self, key: KeyPart) -> Any:
        """The value in the process; `MISSING` when there is none."""
        copies = self._copies
        if copies is None or not copies.home.here():
            return MISSING
        copy = copies.by_key.get(key)
        if copy is None or copy.expires <= monotonic() or copy.kind is not type(key):
            return MISSING
        copy.used = True
        return self._contents.decode(copy.content) if copy.value is MISSING else copy.value

    async def read(self, shard: Shard, part: str, key: KeyPart) -> Any:
        """What `Reader.read` answers; a fresh entry is kept."""
        copies = self._here()
        placeholder = copies.put_placeholder(part)
        sent = monotonic()
        reading = self._tracked(copies, shard, part)
        try:
            if isinstance(self._reader, OpenReader):
                reading = self._reader.within_budget(reading)
            state, left_us, entry = await reading
        except RedisError as error:
            if isinstance(self._reader, OpenReader) and isinstance(error, SILENCE):
                return 0
            return await self._reader.read(shard, part)  # which knows when a read may be sent again
        finally:
            valid = copies.take_placeholder(part, placeholder)
        if state != _FRESH:
            return [entry, int(state == _STALE)] if state in (_STALE, _EARLY) else state
        if valid:
            self._keep(copies, key, entry, sent + min(left_us / 1_000_000, self._max_age))
        return entry

    def forget(self, part: str) -> None:
        """This process has written the key."""
        if self._copies is not None:
            self._copies.forget(part)

    def forget_all(self) -> None:
        """This process has invalidated many keys."""
        if self._copies is not None:
            self._copies.forget_all()

    def _here(self) -> Copies:
        if self._copies is None or not self._copies.home.here():
            self._copies = Copies(
                link_of(self._redis),
                self._shards,
                most_entries=self._options.max_entries,
                most_bytes=self._options.max_bytes,
                check=lease_ms(self._options.check, "check") / 1000,
            )
        return self._copies

    async def _tracked(self, copies: Copies, shard: Shard, part: str) -> Any:
        """Run the script on the connection that is told of changes; as EVAL where the server has forgotten it."""
        key = shard.value + part
        args = (3, key, shard.marks, shard.tags, round(self._lead() * 1000))
        deadline = self._deadline or copies.deadline
        try:
            return await copies.tracking.read(pack_command(("EVALSHA", _READ.source.sha, *args)), deadline, key)
        except NoScriptError:
            return await copies.tracking.read(pack_command(("EVAL", _READ.source.text, *args)), deadline, key)

    def _keep(self, copies: Copies, key: KeyPart, entry: bytes, expires: float) -> None:
        try:
            content = content_of(entry)
            copies.keep(key, Copy(key, content, self._contents.decode(content), expires))
        except (CodecError, LoadFailedError):
            pass  # the caller finds out too, and tells
