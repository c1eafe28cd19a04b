"""Leaders: one load per key across processes.

Whoever needs a value that is not there asks to lead. The one leader calls the loader, renews its lease meanwhile, and
stores what it got; the others wait for the value. The lease ends with a stored value, a failed load, a dead process,
or an invalidation, and each of them lets another lead at once.

The lease is also the fence: the storing script refuses whoever does not hold it any more. An invalidation revokes it,
so what was read from the database before an invalidation is never stored after it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from redis.exceptions import RedisError

from aioredis_patterns._core.durations import delay_ms, lease_ms, timeout_seconds
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import background, shielded
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.subscriptions import Bell
from aioredis_patterns.errors import PatternError
from aioredis_patterns.events import CacheLoaded, emit
from aioredis_patterns.types import AnyRedis, EventHook, Seconds

from .contents import failure
from .entry import HEADER, Lives, Place, Reader, Shard, content_of
from .flights import Flight, Flights
from .outage import SILENCE, OpenReader

__all__ = ("Leader", "Load", "Loading")

_ACQUIRE: Final = Script(
    __package__,
    "leader_acquire",
    keys=4,
    fragments=("fragment_time", "fragment_marks", "fragment_state"),
    repeatable=True,
    lease=True,
)
_RENEW: Final = Script(__package__, "leader_renew", repeatable=True, lease=True)
_RELEASE: Final = Script(
    __package__, "leader_release", keys=2, fragments=("fragment_time",), repeatable=True, lease=True
)
_STORE: Final = Script(
    __package__, "leader_store", keys=5, fragments=("fragment_time", "fragment_marks", "fragment_pack"), repeatable=True
)

_FRESH, _LEADS = 0, 1
_MOST_EARLY: Final = 100
_LEASE_MARGIN: Final = 0.005
"""Seconds to wait beyond the end of a lease, as server and client do not tick together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """How a cache calls its loaders.

    Args:
        lease: Seconds after which a process that died while it loaded is replaced by another.
        timeout: Seconds that one load may take, and that a caller waits for another's.
        abandoned: What becomes of a load that nobody waits for any more: "cancel" it, or "finish" and store it.
        patience: Seconds that a caller waits for a fresh value where a stale one is at hand: 0 gives the stale one at
            once and loads behind it, None gives it only when the load fails.
        pause: Seconds that a stale value counts as fresh after a load failed, so that a loader in trouble is spared.
        error_ttl: Seconds that a failure is kept where there is no stale value: whoever asks meanwhile gets a
            `LoadFailedError` and no load; it is not kept when None.
        early: How eagerly values are loaded anew before they expire: 0 not at all, 1 as is best where one load at a
            time is wanted, more for more. Each hit draws a number; the nearer the end and the slower the last load,
            the likelier it is the hit that loads, behind the value it gives.
        chance: Draws a number from 0 up to 1.

    Example:
        >>> Loading(timeout=5, patience=0.2).timeout
        5
    """

    lease: Seconds = 2.0
    timeout: Seconds = 30.0
    abandoned: Literal["cancel", "finish"] = "cancel"
    patience: Seconds | None = 0.0
    pause: Seconds = 5.0
    error_ttl: Seconds | None = None
    early: float = 0.0
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        lease_ms(self.lease)
        lease_ms(self.timeout, "timeout")
        delay_ms(self.pause, "pause")
        if self.patience is not None:
            timeout_seconds(self.patience, "patience")
        if self.abandoned not in ("cancel", "finish"):
            raise ValueError(f"abandoned must be 'cancel' or 'finish', not {self.abandoned!r}")
        if not 0 <= self.early <= _MOST_EARLY:
            raise ValueError(f"early must be between 0 and {_MOST_EARLY}, not {self.early!r}")

    def lead(self) -> float:
        """How many times the duration of its load an entry counts as expiring early, this once."""
        return -self.early * math.log(1 - self.chance())


@dataclass(slots=True)
class Load:
    """What is loaded, where it goes, and how long it lives.

    Args:
        shard: Where its shard lies.
        part: Its key, escaped.
        call: Calls the loader and gives the content to store.
        accepts: Whether an entry decodes.
        lives: How long.
        tags: Joined.
        error_lives: How long a failure is kept; not at all when None.
        replaced: The header of an entry that counts as none.
        stores: Whether what was loaded is stored.
        passed: Called when another loads it.
    """

    shard: Shard
    part: str
    call: Callable[[], Coroutine[Any, Any, bytes]]
    accepts: Callable[[bytes], bool]
    lives: Lives
    tags: str
    error_lives: Lives | None = None
    replaced: bytes = b""
    stores: bool = True
    passed: Callable[[], None] = lambda: None


class Leader:
    """Fetches values that are not there, for one cache in one process.

    Args:
        redis: The client.
        name: Of the cache, for events.
        flights: The loads of this process.
        reader: Reads what another stored.
        loading: How loaders are called.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        on_event: Told of every load.
    """

    __slots__ = (
        "_deadline",
        "_flights",
        "_lease_ms",
        "_name",
        "_on_event",
        "_pause_ms",
        "_reader",
        "_redis",
        "_timeout",
    )

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        flights: Flights,
        reader: Reader | OpenReader,
        *,
        loading: Loading,
        deadline: float | None,
        on_event: EventHook | None,
    ) -> None:
        self._redis = redis
        self._name = name
        self._flights = flights
        self._reader = reader
        self._lease_ms = lease_ms(loading.lease)
        self._timeout = timeout_seconds(loading.timeout)
        self._pause_ms = delay_ms(loading.pause)
        self._deadline = deadline
        self._on_event = on_event

    async def fetch(self, flight: Flight, load: Load) -> bytes:
        """The content: loaded by this flight, or by whoever leads.

        Raises:
            TimeoutError: The load took longer than it may.
        """
        place = load.shard.place(load.part)
        try:
            content: bytes | None = await self._bounded(self._fetch_from_others(flight, load, place))
        except SILENCE:
            if not isinstance(self._reader, OpenReader):
                raise
            return cast(bytes, await self._bounded(load.call()))
        return await self._lead(flight, load, place) if content is None else content

    async def _fetch_from_others(self, flight: Flight, load: Load, place: Place) -> bytes | None:
        """What another leader brings; None when this flight has to lead."""
        async with AsyncExitStack() as listening:
            bell: Bell | None = None
            while True:
                state, token, left_ms = await self._acquire(flight, load, place)
                if state == _LEADS:
                    return None
                load.passed()
                if state == _FRESH:
                    content = await self._stored(load)
                    if content is not None:
                        return content
                elif (leader := self._flights.leader(token.decode())) is not None:
                    return await leader.wait()
                elif bell is None:  # and then look again: the leader may have ended before we listened
                    subscriptions = link_of(self._redis).subscriptions
                    bell = await listening.enter_async_context(subscriptions.listen(place.channel))
                else:
                    await bell.wait(max(left_ms, 0) / 1000 + _LEASE_MARGIN)

    async def _acquire(self, flight: Flight, load: Load, place: Place) -> tuple[int, bytes, int]:
        known = (flight.token, self._lease_ms, load.lives.marks_ms, load.tags, load.replaced)
        call = _ACQUIRE(self._redis, *place.keys, *known, deadline=self._deadline)
        try:
            state, token, left_ms = await self._within_budget(call)
        except asyncio.CancelledError:
            await self._release(flight, place)  # the server may have said yes
            raise
        return state, token, left_ms

    async def _stored(self, load: Load) -> bytes | None:
        reply = await self._reader.read(load.shard, load.part)
        entry = reply[0] if type(reply) is list and not reply[1] else reply
        if type(entry) is not bytes:
            return None
        if load.accepts(entry):
            return content_of(entry)
        load.replaced = entry[:HEADER]
        return None

    async def _lead(self, flight: Flight, load: Load, place: Place) -> bytes:
        self._flights.lead(flight)
        renewal = background(self._renew(flight, place), "renewal of a cache's lead")
        began = flight.loop.time()
        try:
            content: bytes = await self._bounded(load.call())
            duration = flight.loop.time() - began
            stored = await self._store(flight, load, place, content, round(duration * 1_000_000))
        except BaseException as error:
            self._tell("failed", flight.loop.time() - began)
            await self._give_up(flight, load, place, error)
            raise
        finally:
            renewal.cancel()
        self._tell("stored" if stored else "discarded", duration)
        return content

    async def _give_up(self, flight: Flight, load: Load, place: Place, error: BaseException) -> None:
        """Let another load, or keep the failure for a while."""
        if isinstance(error, Exception) and load.error_lives is not None:
            load.lives = load.error_lives
            if await self._store(flight, load, place, failure(error), 0):
                return
        await self._release(flight, place, self._pause_ms if isinstance(error, Exception) else 0)

    async def _store(self, flight: Flight, load: Load, place: Place, content: bytes, load_us: int) -> bool:
        """Store the value; whoever asked for it gets it even when Redis does not answer."""
        if not load.stores:
            await self._release(flight, place)
            return False
        known = (flight.token, content[:4], load_us, *load.lives, load.tags, place.channel, content[4:])
        call = _STORE(self._redis, *place.keys, place.writers, *known, deadline=self._deadline)
        try:
            return bool(await self._within_budget(call))
        except (RedisError, PatternError):
            return False

    def _within_budget(self, call: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        return self._reader.within_budget(call) if isinstance(self._reader, OpenReader) else call

    async def _renew(self, flight: Flight, place: Place) -> None:
        pause = self._lease_ms / 3000
        while True:
            await asyncio.sleep(pause)
            try:
                if not await _RENEW(self._redis, place.lead, flight.token, self._lease_ms, deadline=pause):
                    return
            except (RedisError, PatternError):
                pass  # the next may succeed before the lease ends

    async def _release(self, flight: Flight, place: Place, pause_ms: int = 0) -> None:
        """Let another lead at once; when Redis does not answer, the lease's end does the same."""
        patience = self._lease_ms / 1000
        call = _RELEASE(self._redis, place.value, place.lead, flight.token, place.channel, pause_ms, deadline=patience)
        try:
            await shielded(call, patience + 0.1)
        except (RedisError, PatternError, TimeoutError):
            pass

    async def _bounded(self, fetching: Coroutine[Any, Any, Any]) -> Any:
        scope = asyncio.timeout(self._timeout)
        try:
            async with scope:
                return await fetching
        except TimeoutError as error:
            if scope.expired():
                raise TimeoutError(f"cache {self._name!r}: no value within {self._timeout:g} s") from error
            raise

    def _tell(self, outcome: Any, duration: float) -> None:
        if self._on_event is not None:
            emit(self._on_event, CacheLoaded(name=self._name, outcome=outcome, duration=duration))
