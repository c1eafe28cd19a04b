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
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, Literal, ParamSpec, TypeVar, cast, final, overload

from aioredis_patterns._core.durations import deadline_seconds, lease_ms, timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import is_cluster
from aioredis_patterns.errors import LoadFailedError
from aioredis_patterns.types import AnyRedis, Codec, EventHook, KeyPart, Seconds

from .contents import MISSING, Contents
from .decorator import Cached
from .entry import Lifetimes, Reader, Shard, joined_tags, shards_of
from .explanation import Explanation, explain
from .leader import Loading
from .loaders import Loader, ManyLoader, called
from .near import Near, NearCache
from .outage import guarded
from .supply import Found, Supply

__all__ = ("Cache",)

T = TypeVar("T")
D = TypeVar("D")
K = TypeVar("K", str, int)
P = ParamSpec("P")

_SET: Final = Script(__package__, "cache_set", keys=4, fragments=("fragment_time", "fragment_marks", "fragment_pack"))
_DELETE: Final = Script(__package__, "cache_delete", keys=2, repeatable=True)
_EXPIRE: Final = Script(__package__, "cache_expire", keys=2, repeatable=True)
_INVALIDATE: Final = Script(
    __package__, "cache_invalidate", keys=2, fragments=("fragment_time", "fragment_marks"), repeatable=True
)

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
        negative_ttl: Seconds that None lives, which is what a loader brings when there is nothing; `ttl` when None.
        jitter: Part of the ttl, 0 to 1, by which it is shortened at random, so that what was stored at one time does
            not expire at one time.
        type: What the values are; decoded into it and checked. Without it anything that `codecs.Json` takes.
        codec: How values become bytes, in place of `type`.
        loading: How loaders are called.
        on_error: What a read does when Redis does not answer: "raise", or with "open" count as a miss, so that every
            process loads for itself. A write that did not reach Redis raises in any case.
        budget: Seconds that one read may wait for Redis with "open".
        near: Keeps copies in the process, of which the server tells when they are out of date; none when None.
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
        "_lifetimes",
        "_near",
        "_on_event",
        "_reader",
        "_redis",
        "_shards",
        "_supply",
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
        negative_ttl: Seconds | None = ...,
        jitter: float = ...,
        type: None = ...,
        codec: None = ...,
        loading: Loading = ...,
        on_error: Literal["raise", "open"] = ...,
        budget: Seconds = ...,
        near: NearCache | None = ...,
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
        negative_ttl: Seconds | None = ...,
        jitter: float = ...,
        type: type[T],
        codec: None = ...,
        loading: Loading = ...,
        on_error: Literal["raise", "open"] = ...,
        budget: Seconds = ...,
        near: NearCache | None = ...,
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
        negative_ttl: Seconds | None = ...,
        jitter: float = ...,
        type: None = ...,
        codec: Codec[T],
        loading: Loading = ...,
        on_error: Literal["raise", "open"] = ...,
        budget: Seconds = ...,
        near: NearCache | None = ...,
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
        negative_ttl: Seconds | None = None,
        jitter: float = 0.0,
        type: Any = None,  # noqa: A002  # the word of every typed pattern here
        codec: Codec[Any] | None = None,
        loading: Loading = _LOADING,
        on_error: Literal["raise", "open"] = "raise",
        budget: Seconds = 0.1,
        near: NearCache | None = None,
        deadline: Seconds | None = None,
        on_event: EventHook | None = None,
        prefix: str = PREFIX,
    ) -> None:
        if type is not None and codec is not None:
            raise ValueError("give a type or a codec, not both")
        self.name = name
        self._redis = redis
        load_ms = lease_ms(loading.timeout, "timeout")
        self._lifetimes = Lifetimes(ttl, stale_ttl, jitter, loading.chance, load_ms, negative_ttl)
        self._deadline = None if deadline is None else deadline_seconds(deadline)
        self._on_event = on_event
        self._contents: Contents[T] = Contents(name, type, codec, on_event)
        self._shards = shards_of(Keys(name, prefix), _CLUSTER_SHARDS if is_cluster(redis) else 1)
        timed = self._lifetimes.stale or loading.early > 0
        reader = Reader(redis, timed=timed, lead=loading.lead, deadline=self._deadline)
        self._reader = guarded(reader, on_error, redis, timeout_seconds(budget, "budget"))
        sources = (self._reader, self._contents, self._lifetimes)
        self._supply = Supply(redis, name, *sources, loading=loading, deadline=self._deadline, on_event=on_event)
        self._flights = self._supply.flights
        far = (self._shards, self._reader, self._contents)
        self._near = None if near is None else Near(redis, near, *far, lead=loading.lead, deadline=self._deadline)

    async def get_or_load(
        self, key: KeyPart, loader: Loader[T], *, ttl: Seconds | None = None, tags: Iterable[str] = ()
    ) -> T:
        """The value of a key; the loader is called when there is none, by one of all who miss it.

        Every caller gets a copy of its own. The loader runs in a task of its own, in the context of the caller that
        came first. What it raises reaches all who wait in this process and is not stored; in another process one of
        those who wait calls the loader of its own at once.

        Args:
            key: What to look up.
            loader: Brings the value, or `Loaded` with what it alone knows of it. It gets the key when it has a
                parameter that must be given; one with two gets the stale value as well, if there is one, and may
                bring `NOT_MODIFIED`. A loader that is not async holds up the event loop.
            ttl: Seconds until this value has to be loaded again; the cache's own when None.
            tags: Names by which the value can be invalidated together with others.

        Raises:
            TimeoutError: There was no value within the time that a load may take.
            CodecError: What the loader brought cannot be encoded.
            LoadFailedError: A load failed less than `Loading.error_ttl` ago.
            Exception: What the loader raised.
        """
        near = self._near
        if near is not None and (copied := near.value(key)) is not MISSING:
            if self._on_event is not None:
                self._supply.tell("near_hit")
            return cast(T, copied)
        part = check_part(key, "key")
        shard = self._shard(part)
        seen = self._flights.latest(part)
        reply = await (self._reader.read(shard, part) if near is None else near.read(shard, part, key))
        value = self._contents.value_of(reply)
        if value is not MISSING and type(reply) is bytes:
            if self._on_event is not None:
                self._supply.tell("hit")
            return cast(T, value)
        found: Found[T] = Found(part, shard, seen, reply, value)
        bring = partial(called, loader, key, partial(self._supply.stale_of, found))
        return await self._supply.get(found, bring, ttl, joined_tags(tags))

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
        found = await self._find({part: key for key, part in parts.items()})
        wanted: dict[str, K] = {}
        for key, part in parts.items():
            if not found[part].fresh:
                wanted.setdefault(part, key)  # 1 and "1" are one key
        loaded = await self._supply.get_many(
            {key: found[part] for part, key in wanted.items()},
            loader,
            ttl,
            joined_tags(tags),
        )
        return {key: loaded[wanted[part]] if part in wanted else found[part].value for key, part in parts.items()}

    @overload
    async def get(self, key: KeyPart) -> T | None: ...
    @overload
    async def get(self, key: KeyPart, default: D) -> T | D: ...
    async def get(self, key: KeyPart, default: Any = None) -> Any:
        """The value of a key, or the default when there is none or only a stale one; a cached None is a value."""
        near = self._near
        if near is not None and (copied := near.value(key)) is not MISSING:
            if self._on_event is not None:
                self._supply.tell("near_hit")
            return copied
        part = check_part(key, "key")
        shard = self._shard(part)
        reply = await (self._reader.read(shard, part) if near is None else near.read(shard, part, key))
        try:
            value = self._contents.value_of(reply)
        except LoadFailedError:
            value = MISSING
        missing = value is MISSING or (type(reply) is list and reply[1] == 1)
        if self._on_event is not None:
            self._supply.tell("miss" if missing else "hit")
        return default if missing else value

    async def stamp(self, key: KeyPart) -> str:
        """A mark of this moment, for who makes a value of this key without `get_or_load`, and then gives it to `set`.

        It tells of `invalidate` and `clear`; what `set` and `delete` do to the key meanwhile it does not tell.

        Cost: one round trip.

        Raises:
            redis.exceptions.RedisError: Redis did not answer; with `on_error="open"` within the budget.
        """
        return await self._reader.stamp(self._shard(check_part(key, "key")), self._lifetimes.draw(None).marks_ms)

    async def set(
        self,
        key: KeyPart,
        value: T,
        *,
        ttl: Seconds | None = None,
        tags: Iterable[str] = (),
        since: str | None = None,
    ) -> bool:
        """Store a value, and say so; a load that is under way is not stored any more.

        Args:
            key: Where.
            value: What.
            ttl: Seconds until it has to be loaded again; the cache's own when None.
            tags: Names by which it can be invalidated together with others.
            since: What `stamp` gave for this key before the value was made: it is not stored when all or one of its
                tags was invalidated since, as it may be of before.

        Raises:
            CodecError: The value cannot be encoded.
            OutcomeUnknownError: The reply was lost; the value may be stored or not.
        """
        part = check_part(key, "key")
        place = self._shard(part).place(part)
        content = self._contents.encode(value)
        mark = "" if since is None else since or "none"
        entry = (content[:4], *self._lifetimes.draw(ttl), joined_tags(tags), mark, place.channel, content[4:])
        try:
            return bool(await _SET(self._redis, *place.keys, *entry, deadline=self._deadline))
        finally:
            self._forget_copy(part)

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

    async def explain(self, key: KeyPart) -> Explanation:
        """Tell what there is under a key, and who is at work on it, without changing anything."""
        part = check_part(key, "key")
        near = self._near is not None and self._near.value(key) is not MISSING
        return await explain(self._redis, self._shard(part).place(part), part, near=near, deadline=self._deadline)

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

    def _shard(self, part: str) -> Shard:
        shards = self._shards
        return shards[0] if len(shards) == 1 else shards[zlib.crc32(part.encode()) % len(shards)]

    async def _find(self, keys: Mapping[str, KeyPart]) -> dict[str, Found[T]]:
        """What there is under many keys, in one round trip; the fresh ones are told of as hits."""
        return await (self._find_far(list(keys)) if self._near is None else self._find_near(self._near, keys))

    async def _find_near(self, near: Near, keys: Mapping[str, KeyPart]) -> dict[str, Found[T]]:
        found: dict[str, Found[T]] = {}
        for part, key in keys.items():
            copied = near.value(key)
            found[part] = Found(part, self._shard(part), self._flights.latest(part), b"", copied)
            if copied is not MISSING:
                self._supply.tell("near_hit")
        absent = [each for each in found.values() if each.value is MISSING]
        replies = await asyncio.gather(*(near.read(each.shard, each.part, keys[each.part]) for each in absent))
        for each, reply in zip(absent, replies, strict=True):
            each.reply, each.value = reply, self._contents.value_of(reply)
            if each.fresh:
                self._supply.tell("hit")
        return found

    async def _find_far(self, parts: list[str]) -> dict[str, Found[T]]:
        seen = {part: self._flights.latest(part) for part in parts}
        groups: dict[Shard, list[str]] = {}
        for part in parts:
            groups.setdefault(self._shard(part), []).append(part)
        answers = await asyncio.gather(*(self._reader.read_many(shard, group) for shard, group in groups.items()))
        found: dict[str, Found[T]] = {}
        for (shard, group), replies in zip(groups.items(), answers, strict=True):
            for part, reply in zip(group, replies, strict=True):
                found[part] = Found(part, shard, seen[part], reply, self._contents.value_of(reply))
                if found[part].fresh:
                    self._supply.tell("hit")
        return found

    async def _drop(self, script: Script, key: KeyPart) -> bool:
        part = check_part(key, "key")
        place = self._shard(part).place(part)
        try:
            return bool(await script(self._redis, place.value, place.lead, place.channel, deadline=self._deadline))
        finally:
            self._forget_copy(part)

    async def _invalidate(self, *tags: str) -> None:
        deadline = self._deadline
        try:
            await asyncio.gather(
                *(_INVALIDATE(self._redis, shard.marks, shard.tags, *tags, deadline=deadline) for shard in self._shards)
            )
        finally:
            if self._near is not None:
                self._near.forget_all()

    def _forget_copy(self, part: str) -> None:
        """What was written is out of this process when the call returns, whatever became of it."""
        if self._near is not None:
            self._near.forget(part)

    def __repr__(self) -> str:
        return f"<Cache {self.name!r}>"
