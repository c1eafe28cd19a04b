"""Cache: values that are costly to get, kept in Redis and loaded once however many ask.

The promise. Of all who miss the same key at the same time, in one process or in many, one calls the loader and the
others wait for its value. A value that was invalidated while it was being loaded is not stored, and a call that starts
after `delete`, `expire` or `set` returned never gets a value whose load began before. None, False, 0 and b"" are
values like any other. Stored bytes that do not decode count as a miss.

The limit of the promise. A leader that stalls for longer than its lease is taken for dead and another loads too; the
value of the first is then handed to its own callers and not stored. A primary that fails over without its last writes
may forget an invalidation, for at most the value's ttl.

The cost. A hit is one round trip that reads two keys; a cold load is three round trips. A value is one string, with
another for the leader while it is loaded; each shard has a string and a hash for what was invalidated. All of them
expire.
"""

from __future__ import annotations

import asyncio
import inspect
import zlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, Literal, TypeVar, cast, final, overload

from redis.asyncio import RedisCluster

from aioredis_patterns._core.durations import lease_ms, timeout_seconds, ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.codecs import Json, codec_for
from aioredis_patterns.errors import CodecError
from aioredis_patterns.events import CacheRequested, PayloadUndecodable, emit
from aioredis_patterns.types import AnyRedis, Codec, EventHook, KeyPart, Seconds

from .entry import HEADER, Reader, Shard, body_of, codec_id, joined_tags, shards_of
from .flights import Flights
from .leader import Leader, Load

__all__ = ("Cache", "Loader")

T = TypeVar("T")
D = TypeVar("D")

Loader = Callable[[], Awaitable[T] | T] | Callable[[Any], Awaitable[T] | T]
"""What gets a value that is not cached: a function, sync or async, that takes the key or nothing."""

_SET: Final = Script(__package__, "cache_set", keys=4, fragments=("fragment_marks", "fragment_pack"))
_DELETE: Final = Script(__package__, "cache_delete", keys=2, repeatable=True)
_EXPIRE: Final = Script(__package__, "cache_expire", keys=2, repeatable=True)

_CLUSTER_SHARDS: Final = 64
_MISSING: Final = object()


@final
class Cache(Generic[T]):
    """Values by key, with one load per key across all processes that use the cache.

    A definition: it does no I/O when it is made and may be shared by all tasks.

    Args:
        redis: Any asyncio client of redis-py.
        name: Of the cache; caches of one name on one server are one cache.
        ttl: Seconds until a value has to be loaded again.
        stale_ttl: Seconds that a value is kept in all, so that it can stand in when no fresh one is to be had; as
            long as `ttl` when None.
        type: What the values are; decoded into it and checked. Without it anything that `codecs.Json` takes.
        codec: How values become bytes, in place of `type`.
        lease: Seconds after which a process that died while it loaded is replaced by another.
        load_timeout: Seconds that one load may take, and that a caller waits for another's.
        abandoned: What becomes of a load that nobody waits for any more: "cancel" it, or "finish" and store it.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every request and every load.
        prefix: First part of every key.

    Example:
        >>> async def main(url):
        ...     async def load_user(user_id):
        ...         return {"id": user_id, "name": "Ada"}
        ...     async with connect(url) as redis:
        ...         users = Cache(redis, "users", ttl=3600)
        ...         return await users.get_or_load(42, load_user)
    """

    __slots__ = (
        "_codec",
        "_codec_id",
        "_deadline",
        "_flights",
        "_leader",
        "_life_ms",
        "_load_ms",
        "_on_event",
        "_reader",
        "_redis",
        "_shards",
        "_ttl_ms",
        "name",
    )

    @overload
    def __init__(
        self: Cache[Any],
        redis: AnyRedis,
        name: str,
        *,
        ttl: Seconds,
        stale_ttl: Seconds | None = ...,
        type: None = ...,
        codec: None = ...,
        lease: Seconds = ...,
        load_timeout: Seconds = ...,
        abandoned: Literal["cancel", "finish"] = ...,
        deadline: Seconds | None = ...,
        on_event: EventHook | None = ...,
        prefix: str = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        ttl: Seconds,
        stale_ttl: Seconds | None = ...,
        type: type[T] | None = ...,
        codec: Codec[T] | None = ...,
        lease: Seconds = ...,
        load_timeout: Seconds = ...,
        abandoned: Literal["cancel", "finish"] = ...,
        deadline: Seconds | None = ...,
        on_event: EventHook | None = ...,
        prefix: str = ...,
    ) -> None: ...
    def __init__(  # noqa: PLR0913  # what a cache does is its constructor's to say
        self,
        redis: AnyRedis,
        name: str,
        *,
        ttl: Seconds,
        stale_ttl: Seconds | None = None,
        type: Any = None,  # noqa: A002  # the word of every typed pattern here
        codec: Codec[Any] | None = None,
        lease: Seconds = 2.0,
        load_timeout: Seconds = 30.0,
        abandoned: Literal["cancel", "finish"] = "cancel",
        deadline: Seconds | None = None,
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        if abandoned not in ("cancel", "finish"):
            raise ValueError(f"abandoned must be 'cancel' or 'finish', not {abandoned!r}")
        if type is not None and codec is not None:
            raise ValueError("give a type or a codec, not both")
        self.name = name
        self._redis = redis
        self._ttl_ms = ttl_ms(ttl)
        self._life_ms = self._ttl_ms if stale_ttl is None else _stale_ttl_ms(stale_ttl, self._ttl_ms)
        self._load_ms = lease_ms(load_timeout, "load_timeout")
        self._deadline = None if deadline is None else timeout_seconds(deadline, "deadline")
        self._codec: Codec[T] = codec or (Json() if type is None else codec_for(type))
        self._codec_id = codec_id(self._codec)
        self._on_event = on_event
        self._shards = shards_of(Keys(name, prefix), _CLUSTER_SHARDS if isinstance(redis, RedisCluster) else 1)
        self._flights = Flights(finishes=abandoned == "finish")
        self._reader = Reader(redis, timed=self._ttl_ms < self._life_ms, deadline=self._deadline)
        self._leader = Leader(
            redis,
            name,
            self._flights,
            self._reader,
            lease_ms=lease_ms(lease),
            timeout=self._load_ms / 1000,
            deadline=self._deadline,
            on_event=on_event,
        )

    async def get_or_load(
        self, key: KeyPart, loader: Loader[T], *, ttl: Seconds | None = None, tags: Iterable[str] = ()
    ) -> T:
        """The value of a key; the loader is called when there is none, by one of all who miss it.

        Every caller gets a copy of its own. The loader runs in a task of its own, in the context of the caller that
        came first. What it raises reaches all who wait in this process and is not stored; in another process one of
        those who wait calls the loader of its own at once.

        Args:
            key: What to look up.
            loader: Brings the value. It gets the key when it has a parameter that must be given. A loader that is not
                async holds up the event loop.
            ttl: Seconds until this value has to be loaded again; the cache's own when None.
            tags: Names by which the value can be invalidated together with others.

        Raises:
            TimeoutError: There was no value within `load_timeout`.
            CodecError: What the loader brought cannot be encoded.
            Exception: What the loader raised.
        """
        part = check_part(key, "key")
        shard = self._shard(part)
        seen = self._flights.latest(part)
        reply = await self._reader.read(shard.value + part, shard)
        value = self._value_of(reply)
        if value is not _MISSING:
            if self._on_event is not None:
                self._tell("hit")
            return cast(T, value)
        flight = self._flights.later_than(seen, part)
        if self._on_event is not None:
            self._tell("miss" if flight is None else "coalesced")
        if flight is None:
            load = self._load(part, key, loader, ttl, tags)
            load.replaced = reply[:HEADER] if type(reply) is bytes else b""
            flight = self._flights.begin(part, lambda flight: self._leader.fetch(flight, load))
        return self._codec.decode(await flight.wait())

    @overload
    async def get(self, key: KeyPart) -> T | None: ...
    @overload
    async def get(self, key: KeyPart, default: D) -> T | D: ...
    async def get(self, key: KeyPart, default: Any = None) -> Any:
        """The value of a key, or the default when there is none; a cached None is a value."""
        part = check_part(key, "key")
        shard = self._shard(part)
        reply = await self._reader.read(shard.value + part, shard)
        value = self._value_of(reply)
        if self._on_event is not None:
            self._tell("miss" if value is _MISSING else "hit")
        return default if value is _MISSING else value

    async def set(self, key: KeyPart, value: T, *, ttl: Seconds | None = None, tags: Iterable[str] = ()) -> None:
        """Store a value; a load that is under way is not stored any more.

        Args:
            key: Where.
            value: What.
            ttl: Seconds until it has to be loaded again; the cache's own when None.
            tags: Names by which it can be invalidated together with others.

        Raises:
            CodecError: The value cannot be encoded.
            OutcomeUnknownError: The reply was lost; the value may be stored or not.
        """
        part = check_part(key, "key")
        place = self._shard(part).place(part)
        fresh_ms, life_ms = self._lives(ttl)
        await _SET(
            self._redis,
            *place.keys,
            *(self._codec_id, fresh_ms, life_ms, life_ms + self._load_ms, joined_tags(tags), place.channel),
            self._codec.encode(value),
            deadline=self._deadline,
        )

    async def delete(self, key: KeyPart) -> bool:
        """Remove a value, the stale one as well; whether there was one."""
        return await self._drop(_DELETE, key)

    async def expire(self, key: KeyPart) -> bool:
        """Have the value loaded again before its ttl ends, and keep it as the stale one; whether there was one."""
        return await self._drop(_EXPIRE, key)

    async def _drop(self, script: Script, key: KeyPart) -> bool:
        part = check_part(key, "key")
        place = self._shard(part).place(part)
        return bool(await script(self._redis, place.value, place.lead, place.channel, deadline=self._deadline))

    def _shard(self, part: str) -> Shard:
        shards = self._shards
        return shards[0] if len(shards) == 1 else shards[zlib.crc32(part.encode()) % len(shards)]

    def _lives(self, ttl: Seconds | None) -> tuple[int, int]:
        """The milliseconds until a value is stale, and until it is dropped."""
        fresh_ms = self._ttl_ms if ttl is None else ttl_ms(ttl)
        return fresh_ms, self._life_ms if ttl is None else max(fresh_ms, self._life_ms)

    def _load(self, part: str, key: KeyPart, loader: Loader[T], ttl: Seconds | None, tags: Iterable[str]) -> Load:
        async def call() -> bytes:
            return self._codec.encode(await _called(loader, key))

        fresh_ms, life_ms = self._lives(ttl)
        shard = self._shard(part)
        return Load(
            shard=shard,
            place=shard.place(part),
            call=call,
            accepts=self._accepts,
            codec=self._codec_id,
            ttl_ms=fresh_ms,
            life_ms=life_ms,
            keep_ms=life_ms + self._load_ms,
            tags=joined_tags(tags),
        )

    def _value_of(self, reply: Any) -> Any:
        """What the server's answer holds, or `_MISSING`."""
        if type(reply) is bytes:
            if reply[2:6] == self._codec_id:
                try:
                    return self._codec.decode(body_of(reply))
                except CodecError:
                    pass
        elif reply != -1:
            return _MISSING
        if self._on_event is not None:
            emit(self._on_event, PayloadUndecodable(pattern="Cache", name=self.name))
        return _MISSING

    def _accepts(self, entry: bytes) -> bool:
        return self._value_of(entry) is not _MISSING

    def _tell(self, outcome: Literal["hit", "miss", "coalesced"]) -> None:
        if self._on_event is not None:
            emit(self._on_event, CacheRequested(name=self.name, outcome=outcome))

    def __repr__(self) -> str:
        return f"<Cache {self.name!r} ttl={self._ttl_ms / 1000:g}s>"


async def _called(loader: Loader[T], key: KeyPart) -> T:
    call = cast(Callable[..., Any], loader)
    try:
        result = call(key) if _takes_key(call) else call()
        return cast(T, await result if inspect.isawaitable(result) else result)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Those who wait were not cancelled, and must not look as if they were.
        raise RuntimeError("the loader was cancelled by something inside it") from error


def _takes_key(loader: Callable[..., Any]) -> bool:
    """Whether the loader has a positional parameter that must be given."""
    try:
        parameters = inspect.signature(loader).parameters.values()
    except ValueError:  # some built-in functions tell nothing
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)


def _stale_ttl_ms(stale_ttl: Seconds, fresh_ms: int) -> int:
    life_ms = ttl_ms(stale_ttl, "stale_ttl")
    if life_ms < fresh_ms:
        raise ValueError(f"stale_ttl must be at least ttl ({fresh_ms / 1000:g} s), not {stale_ttl!r}")
    return life_ms
