"""One load per key in a process: who shares it, who does not, and what a cancellation touches."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, Loading
from aioredis_patterns.caches.flights import Flights
from aioredis_patterns.client.connect import connect
from aioredis_patterns.events import CacheLoaded, CacheRequested
from tests.caches.paused import Paused, joined, listening
from tests.support.waiting import eventually


async def test_a_stampede_loads_once(redis: Redis, name: str) -> None:
    """Of 500 that miss a key at the same time one calls the loader, and all get the value."""
    events: list[Any] = []
    cache = Cache(redis, name, ttl=60, on_event=events.append)
    loading = Paused()
    waiters = [asyncio.create_task(cache.get_or_load("key", loading)) for _ in range(500)]
    await loading.started.wait()
    loading.go.set()
    assert await asyncio.gather(*waiters) == ["loaded"] * 500
    assert loading.calls == 1
    outcomes = [event.outcome for event in events if isinstance(event, CacheRequested)]
    assert (outcomes.count("miss"), outcomes.count("coalesced")) == (1, 499)


async def test_those_who_come_later_share_the_load(redis: Redis, name: str) -> None:
    """Callers that come one after the other while a load runs wait for it too."""
    cache = Cache(redis, name, ttl=60)
    loading = Paused()
    waiters = []
    for _ in range(20):
        waiters.append(asyncio.create_task(cache.get_or_load("key", loading)))
        await redis.ping()
    loading.go.set()
    assert await asyncio.gather(*waiters) == ["loaded"] * 20
    assert loading.calls == 1


async def test_keys_do_not_wait_for_one_another(redis: Redis, name: str) -> None:
    """A slow load holds up its own key alone."""
    cache = Cache(redis, name, ttl=60)
    loading = Paused()
    slow = asyncio.create_task(cache.get_or_load("slow", loading))
    await loading.started.wait()
    assert await cache.get_or_load("fast", lambda: 1) == 1
    loading.go.set()
    assert await slow == "loaded"


async def test_an_error_reaches_all_who_wait(redis: Redis, name: str) -> None:
    """What the loader raises reaches all who wait, those who came later too, and is not stored."""
    cache = Cache(redis, name, ttl=60)
    loading = Paused()
    loading.result = LookupError("no such user")
    waiters = [asyncio.create_task(cache.get_or_load("key", loading)) for _ in range(50)]
    await loading.started.wait()
    waiters.append(asyncio.create_task(cache.get_or_load("key", loading)))
    await joined(cache, "key", 51)
    loading.go.set()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert {repr(result) for result in results} == {"LookupError('no such user')"}
    assert loading.calls == 1
    assert await cache.get_or_load("key", lambda: "next") == "next"


async def test_a_cancelled_waiter_touches_nobody(redis: Redis, name: str) -> None:
    """Cancelling some waiters, the first included, leaves the load and the others alone."""
    cache = Cache(redis, name, ttl=60)
    loading = Paused()
    waiters = [asyncio.create_task(cache.get_or_load("key", loading)) for _ in range(50)]
    await loading.started.wait()
    for waiter in waiters[:-1]:
        waiter.cancel()
    results = await asyncio.gather(*waiters[:-1], return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    loading.go.set()
    assert await waiters[-1] == "loaded"
    assert (loading.calls, loading.cancelled) == (1, 0)


async def test_the_last_waiter_cancels_the_load(redis: Redis, name: str) -> None:
    """A load that nobody waits for any more is cancelled, and the next caller starts another at once."""
    cache = Cache(redis, name, ttl=60)
    loading = Paused()
    waiters = [asyncio.create_task(cache.get_or_load("key", loading)) for _ in range(3)]
    await loading.started.wait()
    for waiter in waiters:
        waiter.cancel()
    await asyncio.wait(waiters)
    assert await cache.get_or_load("key", lambda: "next") == "next"
    assert (loading.calls, loading.cancelled) == (1, 1)


async def test_nobody_joins_an_abandoned_load() -> None:
    """From the moment its last waiter went, nobody can join a load, though it still ends."""
    flights = Flights(finishes=False)
    loading = Paused()
    flight = flights.begin("key", lambda flight: loading())
    flight.join()
    await loading.started.wait()
    flight.leave()
    assert flights.later_than(None, "key") is None
    assert not flight.task.done()
    await asyncio.wait([flight.task])


async def test_an_abandoned_load_may_finish(redis: Redis, name: str) -> None:
    """Where the cache was told so, a load that nobody waits for is finished and stored, and a failing one is silent."""
    cache = Cache(redis, name, ttl=60, loading=Loading(abandoned="finish"))
    loading, failing = Paused(), Paused()
    failing.result = LookupError("nobody hears this")
    waiters = [asyncio.create_task(cache.get_or_load(key, load)) for key, load in (("key", loading), ("bad", failing))]
    await asyncio.gather(loading.started.wait(), failing.started.wait())
    for waiter in waiters:
        waiter.cancel()
    await asyncio.wait(waiters)
    loading.go.set()
    failing.go.set()
    await eventually(lambda: not len(cache._flights))
    assert await cache.get("key") == "loaded"
    assert await cache.get("bad") is None


async def test_timeouts_and_scopes(redis: Redis, name: str) -> None:
    """asyncio.timeout and anyio scopes end a wait like task.cancel does."""
    cache = Cache(redis, name, ttl=60)
    loading = Paused()
    patient = asyncio.create_task(cache.get_or_load("key", loading))
    await loading.started.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await cache.get_or_load("key", loading)
    with anyio.move_on_after(0.01) as scope:
        await cache.get_or_load("key", loading)
    assert scope.cancelled_caught
    loading.go.set()
    assert await patient == "loaded"
    assert loading.calls == 1


async def test_a_loader_that_cancels_itself(redis: Redis, name: str) -> None:
    """A loader cancelled from inside is an error for those who wait, not their own cancellation."""

    async def load() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled by something inside"):
        await Cache(redis, name, ttl=60).get_or_load("key", load)


async def test_a_loader_that_takes_too_long(redis: Redis, name: str) -> None:
    """A load ends when it has taken as long as it may, and all who wait are told."""
    cache = Cache(redis, name, ttl=60, loading=Loading(timeout=0.05))
    loading = Paused()
    results = await asyncio.gather(*(cache.get_or_load("key", loading) for _ in range(5)), return_exceptions=True)
    assert {str(result) for result in results} == {f"cache {name!r}: no value within 0.05 s"}
    assert (loading.calls, loading.cancelled) == (1, 1)
    assert await cache.get_or_load("key", lambda: "next") == "next"


async def test_the_context_is_the_first_caller_s(pipelined: Redis, name: str) -> None:
    """The loader runs in the context of the caller that started it."""
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
    request.set("mine")
    assert await Cache(pipelined, name, ttl=60).get_or_load("key", request.get) == "mine"


async def test_a_storm_of_cancellations_leaves_nothing(redis: Redis, name: str) -> None:
    """After thousands of waiters were cancelled anywhere on their way, no lead, task, load or listener is left."""
    cache = Cache(redis, name, ttl=0.02)
    before = asyncio.all_tasks()

    async def load() -> str:
        await asyncio.sleep(0.003)
        return "value"

    async def impatient(number: int) -> None:
        with anyio.move_on_after(0.0003 * (number % 20)):
            assert await cache.get_or_load(number % 7, load) == "value"

    for _ in range(10):
        await asyncio.gather(*(impatient(number) for number in range(300)))
    await eventually(lambda: not len(cache._flights))
    assert not cache._flights._leading
    await eventually(lambda: not _loading(asyncio.all_tasks() - before))
    assert [key async for key in redis.scan_iter(f"*{name}*:lead:*")] == []
    assert await cache.get_or_load("after", lambda: 1) == 1


async def test_two_event_loops(url: str, name: str) -> None:
    """A cache that two event loops use at once loads once for both, and neither touches the other's tasks."""
    client = Redis.from_url(url)
    cache = Cache(client, name, ttl=60)
    started, go = threading.Event(), threading.Event()

    async def load() -> str:
        started.set()
        await asyncio.to_thread(go.wait)
        return "loaded"

    async def ask(waits: bool) -> str:
        if waits:
            await asyncio.to_thread(started.wait)
        try:
            return await cache.get_or_load("key", _must_not_run if waits else load)
        finally:
            await client.aclose()

    both = [asyncio.create_task(asyncio.to_thread(asyncio.run, ask(waits))) for waits in (False, True)]
    async with connect(url) as onlooker:
        await listening(onlooker, f"arp:{{{name}|0}}:loaded:key")
    go.set()
    assert await asyncio.gather(*both) == ["loaded", "loaded"]


async def test_load_events(pipelined: Redis, name: str) -> None:
    """A load that was cancelled is told as failed."""
    events: list[Any] = []
    cache = Cache(pipelined, name, ttl=60, on_event=events.append)
    loading = Paused()
    waiter = asyncio.create_task(cache.get_or_load("key", loading))
    await loading.started.wait()
    waiter.cancel()
    await eventually(lambda: [event.outcome for event in events if isinstance(event, CacheLoaded)] == ["failed"])


def _loading(tasks: set[asyncio.Task[Any]]) -> list[str]:
    return [task.get_name() for task in tasks if "load" in task.get_name() or "lead" in task.get_name()]


async def _must_not_run() -> None:
    raise AssertionError("another loads")
