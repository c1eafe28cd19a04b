"""Supply: how a value that is missing, stale or about to expire is got.

A call joins a load that is under way, where that load began late enough for it, or begins one. Then it waits: for the
load when there is no value at hand, else for as long as its patience lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, Literal, TypeVar, cast, final

from aioredis_patterns._core.durations import timeout_seconds, ttl_ms
from aioredis_patterns.events import CacheRequested, emit
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

from .contents import MISSING, Contents
from .entry import HEADER, Lifetimes, Reader, Shard, content_of, expired_by_hand, names_of
from .flights import Flight, Flights
from .leader import Leader, Load, Loading
from .loaded import NOT_MODIFIED, Loaded, Stale, etag_of, names_with
from .loaders import Batch, Brought, ManyLoader
from .outage import OpenReader

__all__ = ("Found", "Supply")

T = TypeVar("T")
K = TypeVar("K", str, int)


@final
class Found(Generic[T]):
    """What a read found under one key.

    Args:
        part: The key, escaped.
        shard: Where it lies.
        seen: The load of the key that was under way when the call began.
        reply: What the reader answered.
        value: What that decodes to, or `MISSING`.
    """

    __slots__ = ("part", "reply", "seen", "shard", "value")

    def __init__(self, part: str, shard: Shard, seen: Flight | None, reply: Any, value: Any) -> None:
        self.part = part
        self.shard = shard
        self.seen = seen
        self.reply = reply
        self.value = value

    @property
    def fresh(self) -> bool:
        """Whether the value is to be given as it is."""
        return self.value is not MISSING and type(self.reply) is bytes

    @property
    def stale(self) -> bool:
        """Whether there is a value, past its time."""
        return self.value is not MISSING and type(self.reply) is list and bool(self.reply[1])

    @property
    def entry(self) -> bytes:
        """The stored bytes that a load is to replace; empty when there are none."""
        return self.reply if type(self.reply) is bytes else self.reply[0] if type(self.reply) is list else b""


@final
class Supply(Generic[T]):
    """The loads of one cache in this process.

    Args:
        redis: The client.
        name: Of the cache, for events.
        reader: Reads entries.
        contents: Decodes them.
        lifetimes: Say how long they live.
        loading: How loaders are called.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every request and every load.
    """

    __slots__ = ("_contents", "_error_lives", "_leader", "_lifetimes", "_name", "_on_event", "_patience", "flights")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        reader: Reader | OpenReader,
        contents: Contents[T],
        lifetimes: Lifetimes,
        *,
        loading: Loading,
        deadline: float | None,
        on_event: EventHook | None,
    ) -> None:
        self.flights = Flights(finishes=loading.abandoned == "finish")
        self._name = name
        self._contents = contents
        self._lifetimes = lifetimes
        error_ttl = loading.error_ttl
        self._error_lives = None if error_ttl is None else lifetimes.brief(ttl_ms(error_ttl, "error_ttl"))
        self._patience = None if loading.patience is None else timeout_seconds(loading.patience, "patience")
        self._on_event = on_event
        self._leader = Leader(redis, name, self.flights, reader, loading=loading, deadline=deadline, on_event=on_event)

    async def get(
        self, found: Found[T], bring: Callable[[], Awaitable[Brought[T] | None]], ttl: Seconds | None, tags: str
    ) -> T:
        """What a load brings, or the value at hand."""
        flight = self._joinable(found)
        if flight is None:
            flight = self._begin(self._load(found, bring, ttl, tags))
        return await self._awaited(flight, found)

    async def get_many(
        self, wanted: dict[K, Found[T]], loader: ManyLoader[K, T], ttl: Seconds | None, tags: str
    ) -> dict[K, T]:
        """The same for many keys; those that no load can be joined for share one call of the loader."""
        joinable = {key: self._joinable(found) for key, found in wanted.items()}
        flights = {key: flight for key, flight in joinable.items() if flight is not None}
        ours = {key: found for key, found in wanted.items() if key not in flights}
        if ours:
            flights |= self._begin_many(ours, Batch(loader, list(ours)), ttl, tags)
        for flight in flights.values():
            flight.join()
        try:
            return {key: await self._awaited(flight, wanted[key]) for key, flight in flights.items()}
        finally:
            for flight in flights.values():
                flight.leave()

    def tell(self, outcome: Literal["hit", "near_hit", "miss", "coalesced", "stale"]) -> None:
        """Tell the hook of a request."""
        if self._on_event is not None:
            emit(self._on_event, CacheRequested(name=self._name, outcome=outcome))

    def _joinable(self, found: Found[T]) -> Flight | None:
        """A load under way that this call may join; any will do for one that does not wait for it."""
        waits = found.value is MISSING or self._patience_for(found) != 0
        flight = self.flights.later_than(found.seen if waits else None, found.part)
        if found.value is MISSING:
            self.tell("miss" if flight is None else "coalesced")
        else:
            self.tell("stale" if found.stale else "hit")
        return flight

    def _patience_for(self, found: Found[T]) -> float | None:
        """How long to wait for a load, where there is a value at hand."""
        if not found.stale:
            return 0.0
        return None if expired_by_hand(found.entry) else self._patience

    async def _awaited(self, flight: Flight, found: Found[T]) -> T:
        if found.value is MISSING:
            return self._contents.decode(await flight.wait())
        flight.join()  # and never leave: the load goes on, for the next to come
        patience = self._patience_for(found)
        if patience == 0:
            return cast(T, found.value)
        try:
            async with asyncio.timeout(patience):
                return self._contents.decode(await flight.content())
        except Exception:  # noqa: BLE001  # whatever kept the load from succeeding, the stale value is there for it
            return cast(T, found.value)

    def _begin(self, load: Load) -> Flight:
        return self.flights.begin(load.part, partial(self._leader.fetch, load=load))

    def _begin_many(
        self, ours: dict[K, Found[T]], batch: Batch[K, T], ttl: Seconds | None, tags: str
    ) -> dict[K, Flight]:
        flights: dict[K, Flight] = {}
        for key, found in ours.items():
            load = self._load(found, partial(batch.value, key), ttl, tags)
            load.passed = partial(batch.decide, key)
            flights[key] = self._begin(load)
            flights[key].task.add_done_callback(partial(batch.decide, key))
        return flights

    def stale_of(self, found: Found[T]) -> Stale[T] | None:
        """What a load is to replace, for a loader that asks whether it has changed."""
        if not found.stale:
            return None
        return Stale(self._contents.decode(content_of(found.entry)), etag_of(names_of(found.entry)))

    def _load(
        self, found: Found[T], bring: Callable[[], Awaitable[Brought[T] | None]], ttl: Seconds | None, tags: str
    ) -> Load:
        async def call() -> bytes:
            return self._content(load, found, await bring(), ttl)

        load = Load(
            shard=found.shard,
            part=found.part,
            call=call,
            accepts=self._contents.accepts,
            lives=self._lifetimes.draw(ttl),
            tags=tags,
            error_lives=None if found.stale else self._error_lives,
            replaced=found.entry[:HEADER],
        )
        return load

    def _content(self, load: Load, found: Found[T], brought: Brought[T] | None, ttl: Seconds | None) -> bytes:
        """The content to store, and in the load how long and under which names."""
        if brought is NOT_MODIFIED:
            if not found.stale:
                raise TypeError("a loader brought NOT_MODIFIED where there was no stale value")
            load.tags = names_of(found.entry)
            return content_of(found.entry)
        if isinstance(brought, Loaded):
            ttl = ttl if brought.ttl is None else brought.ttl
            load.tags = names_with(load.tags, brought.tags, brought.etag)
            load.stores = brought.store
            load.lives = self._lifetimes.draw_for(brought.value, ttl)
            return self._contents.encode(brought.value)
        if brought is None:
            load.lives = self._lifetimes.draw_for(None, ttl)
        return self._contents.encode(brought)
