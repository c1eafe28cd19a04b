"""Leaders: one load per key across processes.

Whoever needs a value that is not there asks to lead. The one leader calls the loader, renews its lease meanwhile, and
stores what it got; the others wait for the value. The lease ends with a stored value, a failed load, a dead process,
or an invalidation, and each of them lets another lead at once.

The lease is also the fence: the storing script refuses whoever does not hold it any more. An invalidation revokes it,
so what was read from the database before an invalidation is never stored after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError

from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import background, shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.subscriptions import Bell
from aioredis_patterns.errors import PatternError
from aioredis_patterns.events import CacheLoaded, emit
from aioredis_patterns.types import AnyRedis, EventHook

from .entry import HEADER, Place, Reader, Shard, body_of
from .flights import Flight, Flights

__all__ = ("Leader", "Load")

_ACQUIRE: Final = Script(
    __package__,
    "leader_acquire",
    keys=4,
    fragments=("fragment_marks", "fragment_state"),
    repeatable=True,
    lease=True,
)
_RENEW: Final = Script(__package__, "leader_renew", repeatable=True, lease=True)
_RELEASE: Final = Script(__package__, "leader_release", repeatable=True, lease=True)
_STORE: Final = Script(
    __package__, "leader_store", keys=4, fragments=("fragment_marks", "fragment_pack"), repeatable=True
)

_FRESH, _LEADS = 0, 1
_LEASE_MARGIN: Final = 0.005
"""Seconds to wait beyond the end of a lease, as server and client do not tick together."""


@dataclass(slots=True)
class Load:
    """What is loaded, where it goes, and how long it lives.

    Args:
        shard: Where its shard lies.
        place: Where it lies itself.
        call: Calls the loader and encodes what it brings.
        accepts: Whether an entry decodes.
        codec: Identifier of the codec.
        ttl_ms: Until it is stale.
        life_ms: Until it is dropped.
        keep_ms: How long marks are kept at least.
        tags: Joined.
        replaced: The header of an entry that counts as none.
    """

    shard: Shard
    place: Place
    call: Callable[[], Coroutine[Any, Any, bytes]]
    accepts: Callable[[bytes], bool]
    codec: bytes
    ttl_ms: int
    life_ms: int
    keep_ms: int
    tags: str
    replaced: bytes = b""


class Leader:
    """Fetches values that are not there, for one cache in one process.

    Args:
        redis: The client.
        name: Of the cache, for events.
        flights: The loads of this process.
        reader: Reads what another stored.
        lease_ms: How long a leader leads that does not renew.
        timeout: Seconds that one load may take.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every load.
    """

    __slots__ = ("_deadline", "_flights", "_lease_ms", "_name", "_on_event", "_reader", "_redis", "_timeout")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        flights: Flights,
        reader: Reader,
        *,
        lease_ms: int,
        timeout: float,
        deadline: float | None,
        on_event: EventHook | None,
    ) -> None:
        self._redis = redis
        self._name = name
        self._flights = flights
        self._reader = reader
        self._lease_ms = lease_ms
        self._timeout = timeout
        self._deadline = deadline
        self._on_event = on_event

    async def fetch(self, flight: Flight, load: Load) -> bytes:
        """The value's bytes: loaded by this flight, or by whoever leads.

        Raises:
            TimeoutError: The load took longer than it may.
        """
        body: bytes | None = await self._bounded(self._fetch_from_others(flight, load))
        return await self._lead(flight, load) if body is None else body

    async def _fetch_from_others(self, flight: Flight, load: Load) -> bytes | None:
        """What another leader brings; None when this flight has to lead."""
        async with AsyncExitStack() as listening:
            bell: Bell | None = None
            while True:
                state, token, lease_ms = await self._acquire(flight, load)
                if state == _LEADS:
                    return None
                if state == _FRESH:
                    body = await self._stored(load)
                    if body is not None:
                        return body
                elif (leader := self._flights.leader(token.decode())) is not None:
                    return await leader.wait()
                elif bell is None:  # and then look again: the leader may have ended before we listened
                    subscriptions = link_of(self._redis).subscriptions
                    bell = await listening.enter_async_context(subscriptions.listen(load.place.channel))
                else:
                    await bell.wait(max(lease_ms, 0) / 1000 + _LEASE_MARGIN)

    async def _acquire(self, flight: Flight, load: Load) -> tuple[int, bytes, int]:
        place = load.place
        try:
            state, token, lease_ms = await _ACQUIRE(
                self._redis,
                *place.keys,
                *(flight.token, self._lease_ms, load.keep_ms, load.tags, load.replaced),
                deadline=self._deadline,
            )
        except asyncio.CancelledError:
            await self._release(flight, place)  # the server may have said yes
            raise
        return state, token, lease_ms

    async def _stored(self, load: Load) -> bytes | None:
        entry = await self._reader.read(load.place.value, load.shard)
        if type(entry) is not bytes:
            return None
        if load.accepts(entry):
            return body_of(entry)
        load.replaced = entry[:HEADER]
        return None

    async def _lead(self, flight: Flight, load: Load) -> bytes:
        self._flights.lead(flight)
        renewal = background(self._renew(flight, load.place), "renewal of a cache's lead")
        began = flight.loop.time()
        try:
            body: bytes = await self._bounded(load.call())
            duration = flight.loop.time() - began
            stored = await self._store(flight, load, body, round(duration * 1_000_000))
        except BaseException:
            self._tell("failed", flight.loop.time() - began)
            await self._release(flight, load.place)
            raise
        finally:
            renewal.cancel()
        self._tell("stored" if stored else "discarded", duration)
        return body

    async def _store(self, flight: Flight, load: Load, body: bytes, load_us: int) -> bool:
        """Store the value; whoever asked for it gets it even when Redis does not answer."""
        place = load.place
        try:
            stored = await _STORE(
                self._redis,
                *place.keys,
                *(flight.token, load.codec, load_us, load.ttl_ms, load.life_ms, load.keep_ms, load.tags),
                *(place.channel, body),
                deadline=self._deadline,
            )
        except (RedisError, PatternError):
            return False
        return bool(stored)

    async def _renew(self, flight: Flight, place: Place) -> None:
        pause = self._lease_ms / 3000
        while True:
            await asyncio.sleep(pause)
            try:
                if not await _RENEW(self._redis, place.lead, flight.token, self._lease_ms, deadline=pause):
                    return
            except (RedisError, PatternError):
                pass  # the next may succeed before the lease ends

    async def _release(self, flight: Flight, place: Place) -> None:
        """Let another lead at once; when Redis does not answer, the lease's end does the same."""
        patience = self._lease_ms / 1000
        call = _RELEASE(self._redis, place.lead, flight.token, place.channel, deadline=patience)
        try:
            await shielded(call, patience + 0.1)
        except (RedisError, PatternError, TimeoutError):
            pass

    async def _bounded(self, fetching: Coroutine[Any, Any, Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout) as scope:
                return await fetching
        except TimeoutError as error:
            if scope.expired():
                raise TimeoutError(f"cache {self._name!r}: no value within {self._timeout:g} s") from error
            raise

    def _tell(self, outcome: Any, duration: float) -> None:
        if self._on_event is not None:
            emit(self._on_event, CacheLoaded(name=self._name, outcome=outcome, duration=duration))
