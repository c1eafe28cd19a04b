"""Cache: values that are costly to get, kept in Redis and loaded once however many ask.

The promise. Of all who miss the same key at the same time, in one process or in many, one calls the loader and the
others wait for its value. A value that was invalidated while it was being loaded is not stored, and a call that starts
after `delete`, `expire`, `set`, `invalidate` or `clear` returned never gets a value whose load began before. None,
False, 0 and b"" are values like any other. Stored bytes that do not decode count as a miss.

The limit of the promise. A leader that stalls for longer than its lease is taken for dead and another loads too; the
value of the first is then handed to its own callers and not stored. Tags protect a load that is under way when they
are given with it. A primary that fails over without its last writes may forget an invalidation, for at most the
value's ttl.

The cost. A hit is one round trip that reads two keys; a cold load is three round trips. A value is one string, with
another for the leader while it is loaded; each shard has a string and a hash for what was invalidated. All of them
expire.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Generic, Literal, ParamSpec, TypeVar, cast, final, overload

from redis.asyncio import RedisCluster

from aioredis_patterns._core.durations import lease_ms, timeout_seconds, ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.events import CacheRequested, emit
from aioredis_patterns.types import AnyRedis, Codec, EventHook, KeyPart, Seconds

from .contents import MISSING, Contents
from .decorator import Cached
from .entry import HEADER, Reader, Shard, expired_by_hand, joined_tags, shards_of
from .flights import Flight, Flights
from .leader import Leader, Load, Loading
from .loaders import Batch, Loader, ManyLoader, called

__all__ = ("Cache",)

T = TypeVar("T")
D = TypeVar("D")
K = TypeVar("K", str, int)
P = ParamSpec("P")

_SET: Final = Script(__package__, "cache_set", keys=4, fragments=("fragment_marks", "fragment_pack"))
_DELETE: Final = Script(__package__, "cache_delete", keys=2, repeatable=True)
_EXPIRE: Final = Script(__package__, "cache_expire", keys=2, repeatable=True)
_INVALIDATE: Final = Script(__package__, "cache_invalidate", keys=2, repeatable=True)

_CLUSTER_SHARDS: Final = 64
_LOADING: Final = Loading()


@final
class Cache(Generic[T]):
    """Values by key, with one load per key across all processes that use the cache.

    A definition: it does no I/O when it is made and may be shared by all tasks.

    A value is fresh for `ttl`. With a `stale_ttl` it is kept beyond that: whoever asks gets the stale value at once
    while one loads behind it, and when the loader fails the stale value stands in. `Loading` says how.

    Args:
        redis: Any asyncio client of redis-py.
        name: Of the cache; caches of one name on one server are one cache.
        ttl: Seconds until a value has to be loaded again.
        stale_ttl: Seconds that a value is kept in all; no longer than `ttl` when None.
        jitter: Part of the ttl, 0 to 1, by which it is shortened at random, so that what was stored at one time does
            not expire at one time.
        type: What the values are; decoded into it and checked. Without it anything that `codecs.Json` takes.
        codec: How values become bytes, in place of `type`.
        loading: How loaders are called.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every request and every load.
        prefix: First part of every key.

    Example:
        >>> async def main(url):
        ...     async def load_user(user_id):
        ...         return {"id": user_id, "name": "Ada"}
        ...     async with connect(url) as redis:
        ...         users = Cache(redis, "users", ttl=3600, stale_ttl=86400)
        ...         return await users.get_or_load(42, load_user)
    """

    __slots__ = (
        "_contents",
        "_deadline",
        "_flights",
        "_jitter",
        "_leader",
        "_life_ms",
        "_loading",
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
        jitter: float = ...,
        type: None = ...,
        codec: None = ...,
        loading: Loading = ...,
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
        jitter: float = ...,
        type: type[T] | None = ...,
        codec: Codec[T] | None = ...,
        loading: Loading = ...,
        deadline: Seconds | None = ...,
        on_event: EventHook | None = ...,
        prefix: str = ...,
    ) -> None: ...
    def __init__(  # noqa: PLR0913  # what a cache is, is said in one place
        self,
        redis: AnyRedis,
        name: str,
        *,
        ttl: Seconds,
        stale_ttl: Seconds | None = None,
        jitter: float = 0.0,
        type: Any = None,  # noqa: A002  # the word of every typed pattern here
        codec: Codec[Any] | None = None,
        loading: Loading = _LOADING,
        deadline: Seconds | None = None,
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        if type is not None and codec is not None:
            raise ValueError("give a type or a codec, not both")
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter must be between 0 and 1, not {jitter!r}")
        self.name = name
        self._redis = redis
        self._ttl_ms = ttl_ms(ttl)
        self._life_ms = self._ttl_ms if stale_ttl is None else _stale_ttl_ms(stale_ttl, self._ttl_ms)
        self._jitter = jitter
        self._loading = loading
        self._deadline = None if deadline is None else timeout_seconds(deadline, "deadline")
        self._on_event = on_event
        self._contents: Contents[T] = Contents(name, type, codec, on_event)
        self._shards = shards_of(Keys(name, prefix), _CLUSTER_SHARDS if isinstance(redis, RedisCluster) else 1)
        timed = self._ttl_ms < self._life_ms or loading.early > 0
        self._reader = Reader(redis, timed=timed, lead=loading.lead, deadline=self._deadline)
        self._flights = Flights(finishes=loading.abandoned == "finish")
        self._leader = Leader(
            redis, name, self._flights, self._reader, loading=loading, deadline=self._deadline, on_event=on_event
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
            TimeoutError: There was no value within the time that a load may take.
            CodecError: What the loader brought cannot be encoded.
            Exception: What the loader raised.
        """
        part = check_part(key, "key")
        shard = self._shard(part)
        seen = self._flights.latest(part)
        reply = await self._reader.read(shard, part)
        value = self._contents.value_of(reply)
        if value is not MISSING and type(reply) is bytes:
            if self._on_event is not None:
                self._tell("hit")
            return cast(T, value)
        flight = self._flight_for(part, seen, reply, value)
        self._tell_of(reply, value, flight)
        if flight is None:
            load = self._load(part, reply, partial(called, loader, key), ttl, tags)
            flight = self._flights.begin(part, partial(self._leader.fetch, load=load))
        return await self._from_flight(flight, reply, value)

    async def get_or_load_many(
        self, keys: Iterable[K], loader: ManyLoader[K, T], *, ttl: Seconds | None = None, tags: Iterable[str] = ()
    ) -> dict[K, T | None]:
        """The values of many keys, in their order; the loader is called once for all that have to be loaded here.

        Each key is loaded once, as with `get_or_load`: a key that is already being loaded, here or in another process,
        is waited for and not given to this loader. One round trip reads 500 keys of a shard.

        Args:
            keys: What to look up.
            loader: Gets a list of the missing keys and brings a mapping of values. What it leaves out is None, and
                stored as None.
            ttl: Seconds until these values have to be loaded again; the cache's own when None.
            tags: Names by which they can be invalidated together with others.

        Raises:
            TimeoutError, CodecError, Exception: As in `get_or_load`, where there is no value to stand in.
        """
        parts = {key: check_part(key, "key") for key in keys}
        seen = {part: self._flights.latest(part) for part in parts.values()}
        replies = await self._read_many(list(seen))
        values = {part: self._contents.value_of(reply) for part, reply in replies.items()}
        flights, ours = self._joinable(parts, seen, replies, values)
        flights |= self._begin_many(loader, ours, replies, ttl, list(tags))
        for flight in flights.values():
            flight.join()
        try:
            for part, flight in flights.items():
                values[part] = await self._from_flight(flight, replies[part], values[part])
        finally:
            for flight in flights.values():
                flight.leave()
        return {key: values[part] for key, part in parts.items()}

    @overload
    async def get(self, key: KeyPart) -> T | None: ...
    @overload
    async def get(self, key: KeyPart, default: D) -> T | D: ...
    async def get(self, key: KeyPart, default: Any = None) -> Any:
        """The value of a key, or the default when there is none or only a stale one; a cached None is a value."""
        part = check_part(key, "key")
        reply = await self._reader.read(self._shard(part), part)
        value = self._contents.value_of(reply)
        if value is MISSING or _is_stale(reply):
            value = MISSING
        if self._on_event is not None:
            self._tell("miss" if value is MISSING else "hit")
        return default if value is MISSING else value

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
        content = self._contents.encode(value)
        fresh_ms, life_ms, keep_ms = self._lives(ttl)
        await _SET(
            self._redis,
            *place.keys,
            *(content[:4], fresh_ms, life_ms, keep_ms, joined_tags(tags), place.channel, content[4:]),
            deadline=self._deadline,
        )

    async def delete(self, key: KeyPart) -> bool:
        """Remove a value, the stale one as well; whether there was one."""
        return await self._drop(_DELETE, key)

    async def expire(self, key: KeyPart) -> bool:
        """Have a value loaded again before its ttl ends, and keep it for when that fails; whether there was one."""
        return await self._drop(_EXPIRE, key)

    async def invalidate(self, *tags: str) -> None:
        """Invalidate every value that was stored with one of the tags, however many there are.

        Cost: one round trip and no look at the values, which leave when their time comes; in a cluster one script for
        each of the 64 shards.
        """
        if not tags:
            raise ValueError("no tags were named; clear() invalidates everything")
        await self._invalidate(*joined_tags(tags).split("|"))

    async def clear(self) -> None:
        """Invalidate every value of the cache, at the cost of `invalidate`."""
        await self._invalidate()

    async def refresh(
        self, key: KeyPart, loader: Loader[T], *, ttl: Seconds | None = None, tags: Iterable[str] = ()
    ) -> T:
        """Expire a value and load it anew."""
        await self.expire(key)
        return await self.get_or_load(key, loader, ttl=ttl, tags=tags)

    def cached(
        self, key: str, *, ttl: Seconds | None = None, tags: Sequence[str] = ()
    ) -> Callable[[Callable[P, Awaitable[T]]], Cached[P, T]]:
        """Decorate an async function or method: its results are cached under a key made of its arguments.

        Args:
            key: A template such as "{user_id}:{page}", filled with the arguments by the names of the parameters.
            ttl: Seconds until a result has to be loaded again; the cache's own when None.
            tags: Templates too.

        Example:
            >>> async def main(url):
            ...     async with connect(url) as redis:
            ...         cache = Cache(redis, "profiles", ttl=60)
            ...         @cache.cached(key="{user_id}")
            ...         async def profile(user_id: int) -> dict:
            ...             return {"id": user_id}
            ...         await profile(1)
            ...         await profile.invalidate(1)
        """
        return lambda function: Cached(self, function, key, ttl, tags)

    # Reading and loading ---------------------------------------------------------------------------------------------

    def _shard(self, part: str) -> Shard:
        shards = self._shards
        return shards[0] if len(shards) == 1 else shards[zlib.crc32(part.encode()) % len(shards)]

    async def _read_many(self, parts: list[str]) -> dict[str, Any]:
        groups: dict[Shard, list[str]] = {}
        for part in parts:
            groups.setdefault(self._shard(part), []).append(part)
        answers = await asyncio.gather(*(self._reader.read_many(shard, group) for shard, group in groups.items()))
        found: dict[str, Any] = {}
        for group, replies in zip(groups.values(), answers, strict=True):
            found.update(zip(group, replies, strict=True))
        return found

    def _patience(self, reply: Any) -> float | None:
        """How long to wait for a fresh value, where there is one in need of a load."""
        entry, stale = reply
        if not stale:
            return 0.0
        patience = self._loading.patience
        return None if patience is None or expired_by_hand(entry) else timeout_seconds(patience)

    def _flight_for(self, part: str, seen: Flight | None, reply: Any, value: Any) -> Flight | None:
        """A load under way that this call may join; any will do for one who does not wait for it."""
        waits = value is MISSING or self._patience(reply) != 0
        return self._flights.later_than(seen if waits else None, part)

    def _joinable(
        self, parts: dict[K, str], seen: dict[str, Flight | None], replies: dict[str, Any], values: dict[str, Any]
    ) -> tuple[dict[str, Flight], dict[str, K]]:
        """Of many keys: the loads under way that this call may join, and the keys that it has to load itself."""
        flights: dict[str, Flight] = {}
        ours: dict[str, K] = {}
        for key, part in parts.items():
            reply, value = replies[part], values[part]
            if value is not MISSING and type(reply) is bytes:
                self._tell("hit")
                continue
            flight = self._flight_for(part, seen[part], reply, value)
            self._tell_of(reply, value, flight)
            if flight is None:
                ours.setdefault(part, key)
            else:
                flights[part] = flight
        return flights, ours

    def _begin_many(
        self,
        loader: ManyLoader[K, T],
        ours: dict[str, K],
        replies: dict[str, Any],
        ttl: Seconds | None,
        tags: Iterable[str],
    ) -> dict[str, Flight]:
        """A load for each of these keys, all with one call of the loader."""
        flights: dict[str, Flight] = {}
        if not ours:
            return flights
        batch = Batch(loader, list(ours.values()))
        for part, key in ours.items():
            load = self._load(part, replies[part], partial(batch.value, key), ttl, tags)
            load.passed = partial(batch.decide, key)
            flights[part] = self._flights.begin(part, partial(self._leader.fetch, load=load))
            flights[part].task.add_done_callback(partial(batch.decide, key))
        return flights

    async def _from_flight(self, flight: Flight, reply: Any, value: Any) -> T:
        """What the load brings, or the value at hand when that takes too long or fails."""
        if value is MISSING:
            return self._contents.decode(await flight.wait())
        flight.join()  # and never leave: the load goes on, for the next to come
        patience = self._patience(reply)
        if patience == 0:
            return cast(T, value)
        try:
            async with asyncio.timeout(patience):
                return self._contents.decode(await flight.content())
        except Exception:  # noqa: BLE001  # whatever kept the load from succeeding, this is what the stale value is for
            return cast(T, value)

    def _load(
        self,
        part: str,
        reply: Any,
        bring: Callable[[], Awaitable[T | None]],
        ttl: Seconds | None,
        tags: Iterable[str],
    ) -> Load:
        async def call() -> bytes:
            return self._contents.encode(await bring())

        fresh_ms, life_ms, keep_ms = self._lives(ttl)
        entry = reply if type(reply) is bytes else reply[0] if type(reply) is list else b""
        return Load(
            shard=self._shard(part),
            part=part,
            call=call,
            accepts=self._contents.accepts,
            ttl_ms=fresh_ms,
            life_ms=life_ms,
            keep_ms=keep_ms,
            tags=joined_tags(tags),
            replaced=entry[:HEADER],
        )

    def _lives(self, ttl: Seconds | None) -> tuple[int, int, int]:
        """The milliseconds until a value is stale, until it is dropped, and that marks are kept."""
        fresh_ms = self._ttl_ms if ttl is None else ttl_ms(ttl)
        life_ms = max(fresh_ms, self._life_ms) if self._ttl_ms < self._life_ms else fresh_ms
        if self._jitter:
            shorter_ms = max(round(fresh_ms * (1 - self._jitter * self._loading.chance())), 1)
            fresh_ms, life_ms = shorter_ms, life_ms if fresh_ms < life_ms else shorter_ms
        return fresh_ms, life_ms, life_ms + lease_ms(self._loading.timeout)

    # Invalidating ----------------------------------------------------------------------------------------------------

    async def _drop(self, script: Script, key: KeyPart) -> bool:
        part = check_part(key, "key")
        place = self._shard(part).place(part)
        return bool(await script(self._redis, place.value, place.lead, place.channel, deadline=self._deadline))

    async def _invalidate(self, *tags: str) -> None:
        deadline = self._deadline
        await asyncio.gather(
            *(_INVALIDATE(self._redis, shard.marks, shard.tags, *tags, deadline=deadline) for shard in self._shards)
        )

    # Telling ---------------------------------------------------------------------------------------------------------

    def _tell_of(self, reply: Any, value: Any, flight: Flight | None) -> None:
        if value is MISSING:
            self._tell("miss" if flight is None else "coalesced")
        else:
            self._tell("stale" if _is_stale(reply) else "hit")

    def _tell(self, outcome: Literal["hit", "miss", "coalesced", "stale"]) -> None:
        if self._on_event is not None:
            emit(self._on_event, CacheRequested(name=self.name, outcome=outcome))

    def __repr__(self) -> str:
        return f"<Cache {self.name!r} ttl={self._ttl_ms / 1000:g}s>"


def _is_stale(reply: Any) -> bool:
    return type(reply) is list and bool(reply[1])


def _stale_ttl_ms(stale_ttl: Seconds, fresh_ms: int) -> int:
    life_ms = ttl_ms(stale_ttl, "stale_ttl")
    if life_ms < fresh_ms:
        raise ValueError(f"stale_ttl must be at least ttl ({fresh_ms / 1000:g} s), not {stale_ttl!r}")
    return life_ms
