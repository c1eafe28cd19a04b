"""The worker: what it acknowledges, tries again, cancels and hands back, and what is left when it is killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.queues import Delivery, PriorityQueue, Queue, QueueStats, Worker
from tests.support.faults import FaultProxy
from tests.support.processes import worker
from tests.support.waiting import eventually

EMPTY = QueueStats(0, 0, 0, 0, None)


async def until(queue: Any, wanted: Callable[[QueueStats], bool]) -> None:
    """Wait until the counts are as wanted."""
    async with asyncio.timeout(10):
        while not wanted(await queue.stats()):  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)


async def test_so_many_are_handled_at_a_time(redis: Redis, name: str) -> None:
    """Every message is handled and acknowledged once, and never more at a time than the concurrency says."""
    queue = Queue(redis, name)
    running, most, seen = 0, 0, []

    async def handle(payload: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        seen.append(payload)

    await queue.put_many(range(100))
    async with Worker(queue, handle, concurrency=7):
        await until(queue, lambda stats: stats == EMPTY)
    assert sorted(seen) == list(range(100))
    assert most == 7


async def test_what_fails_is_tried_again_with_pauses(
    pipelined: Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that raises gets its message again, later each time, and at last it is a dead letter that says why."""
    queue = PriorityQueue(pipelined, name, max_deliveries=3)
    times = []
    monkeypatch.setattr("random.random", lambda: 1.0)

    async def handle(payload: str, delivery: Delivery[str]) -> None:
        times.append(asyncio.get_running_loop().time())
        raise ValueError(f"{payload} {delivery.attempt}")

    await queue.put("no")
    async with Worker(queue, handle, backoff=0.1):
        await until(queue, lambda stats: stats.dead == 1)
    assert [letter.reason for letter in await queue.dead.list()] == ["ValueError: no 3"]
    assert len(times) == 3
    assert times[1] - times[0] > 0.1
    assert times[2] - times[1] > 0.2


class Unusual(BaseException):
    """What no `except Exception` catches."""


async def cancelled_itself() -> None:
    """Raise what the end of the task would raise, as who awaits a task does that another cancelled."""
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


async def unusual() -> None:
    """Raise what is no `Exception`."""
    raise Unusual("odd")


@pytest.mark.parametrize(("end", "reason"), [(cancelled_itself, "CancelledError: "), (unusual, "Unusual: odd")])
async def test_what_is_no_exception_is_a_failure_too(
    pipelined: Redis, name: str, end: Callable[[], Any], reason: str
) -> None:
    """What a handler raises is its failure, be it another's cancellation, and its message is dead after its tries."""
    queue = Queue(pipelined, name, max_deliveries=3)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    handled = []

    async def handle(payload: str) -> None:
        handled.append(payload)
        if payload == "no":
            await end()

    await queue.put_many(["no", "next"])
    async with Worker(queue, handle, concurrency=1, backoff=0):
        await until(queue, lambda stats: (stats.ready, stats.delayed, stats.leased, stats.dead) == (0, 0, 0, 1))
    assert (handled.count("no"), handled.count("next")) == (3, 1)
    assert [letter.reason for letter in await queue.dead.list()] == [reason]


async def test_a_handler_has_its_time(pipelined: Redis, name: str) -> None:
    """A handler that takes longer than the timeout is cancelled, and its message counts as failed."""
    queue = Queue(pipelined, name, max_deliveries=1)
    await queue.put("slow")
    async with Worker(queue, lambda _: asyncio.sleep(60), timeout=0.05):
        await until(queue, lambda stats: stats.dead == 1)
    assert [letter.reason for letter in await queue.dead.list()] == ["TimeoutError: "]


async def test_a_handler_may_decide_itself(pipelined: Redis, name: str) -> None:
    """What a handler has rejected is not acknowledged when it returns."""
    queue = Queue(pipelined, name)

    async def handle(_: str, delivery: Delivery[str]) -> None:
        assert await delivery.reject("never")

    await queue.put("x")
    async with Worker(queue, handle):
        await until(queue, lambda stats: stats.dead == 1)


async def test_a_handler_runs_inside_what_the_worker_was_given(pipelined: Redis, name: str) -> None:
    """The context manager of a delivery knows what its sender wrote beside it, and sees what its handler raises."""
    queue = Queue(pipelined, name, max_deliveries=1)
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def around(delivery: Delivery[str]) -> AsyncIterator[None]:
        events.append(delivery.headers["traceparent"])
        try:
            yield
        except ValueError as error:
            events.append(str(error))
            raise

    async def handle(payload: str) -> None:
        events.append(payload)
        raise ValueError("no")

    await queue.put("payload", headers={"traceparent": "00-4bf9-00f0-01"})
    async with Worker(queue, handle, around=around):
        await until(queue, lambda stats: stats.dead == 1)
    assert events == ["00-4bf9-00f0-01", "payload", "no"]


async def test_a_lease_lives_as_long_as_its_handler(pipelined: Redis, name: str) -> None:
    """A handler that takes many times the visibility handles its message once."""
    queue = Queue(pipelined, name, visibility=1)
    attempts = []

    async def handle(_: str, delivery: Delivery[str]) -> None:
        ends = delivery.valid_until + 0.4
        attempts.append(delivery.attempt)
        await eventually(lambda: delivery.valid_until > ends)

    await queue.put("long")
    async with Worker(queue, handle), Worker(queue, handle):
        await until(queue, lambda stats: stats == EMPTY)
    assert attempts == [1]


async def test_a_handler_that_lost_its_lease_is_cancelled(pipelined: Redis, name: str) -> None:
    """When the lease has moved on, the handler is cancelled, and the worker goes on with the next message."""
    queue = Queue(pipelined, name, visibility=0.2)
    events: list[str] = []

    async def handle(payload: str) -> None:
        if payload == "next" or "lost" in events:
            events.append("handled")
            return
        await pipelined.delete(f"arp:{{{name}}}:leased")  # as after a failover
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            events.append("lost")
            raise

    await queue.put("held")
    async with Worker(queue, handle):
        await eventually(lambda: events == ["lost"])
        await queue.put("next")
        await eventually(lambda: events == ["lost", "handled"])


@pytest.mark.parametrize(("grace", "left"), [(10, 0), (0, 1)])
async def test_a_worker_stops_gracefully(pipelined: Redis, name: str, grace: float, left: int) -> None:
    """At the end running handlers have the grace; what they do not finish in it goes back with no attempt charged."""
    queue = Queue(pipelined, name)
    begun = asyncio.Event()

    async def handle(_: str) -> None:
        begun.set()
        await asyncio.sleep(0.1)

    await queue.put("x")
    async with Worker(queue, handle, grace=grace):
        await begun.wait()
    stats = await queue.stats()
    assert (stats.ready, stats.delayed, stats.leased, stats.dead) == (left, 0, 0, 0)
    for delivery in await queue.claim_many(1, timeout=0):
        assert delivery.attempt == 1


async def test_an_idle_worker_is_quiet(own_server: EmbeddedServer, name: str) -> None:
    """A hundred consumers that wait for an empty queue ask the server once each, and then not before seconds pass."""
    async with FaultProxy(str(own_server.host), int(own_server.port or 0)) as proxy, connect(proxy.url) as redis:
        queue = Queue(redis, name)
        claims = [asyncio.create_task(queue.claim(timeout=1)) for _ in range(100)]
        assert await asyncio.gather(*claims) == [None] * 100
        assert proxy.commands["EVALSHA"] < 210


async def test_a_killed_consumer_loses_nothing(url: str, pipelined: Redis, name: str) -> None:
    """The message of a process that was killed is delivered to another when the lease has ended."""
    queue = Queue(pipelined, name, visibility=0.5)
    await queue.put("precious")
    async with worker("tests.queues.workers:hold", url, name) as process:
        assert await process.line() == ["precious", 1]
        process.kill()
        delivery = await queue.claim(timeout=10)
    assert delivery is not None
    assert (delivery.payload, delivery.attempt) == ("precious", 2)


async def test_killed_workers_lose_nothing(url: str, pipelined: Redis, name: str) -> None:
    """Whatever moment workers are killed at, every message is handled in the end."""
    queue = Queue(pipelined, name, visibility=0.5, max_deliveries=100)
    done = f"{name}:done"
    await queue.put_many(range(1000))
    for survives in (False, False, True):
        async with worker("tests.queues.workers:work", url, name, done, 10) as process:
            assert await process.line() == "working"
            before = await pipelined.scard(done)
            async with asyncio.timeout(15):
                while await pipelined.scard(done) < (1000 if survives else before + 50):  # noqa: ASYNC110  # the state is the server's
                    await asyncio.sleep(0.005)
            if survives:
                await until(queue, lambda stats: stats == EMPTY)
            process.kill()
            await process.wait()
    await pipelined.delete(done)


async def test_a_worker_that_cannot_go_on_says_so(pipelined: Redis, name: str) -> None:
    """What is no failure of Redis and of no handler ends `run` with its error, and no message is lost."""

    class Broken:
        content_type = "text/plain"

        def encode(self, value: str) -> bytes:
            return value.encode()

        def decode(self, data: bytes) -> str:
            raise ArithmeticError(data)

    queue = Queue(pipelined, name, codec=Broken())
    await queue.put("x")
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    with pytest.raises(ArithmeticError):
        await Worker(queue, lambda _: asyncio.sleep(0)).run()
    await until(queue, lambda stats: (stats.ready, stats.leased) == (1, 0))


async def test_nonsense_is_refused(pipelined: Redis, name: str) -> None:
    """A worker that could handle nothing is refused when it is made."""
    with pytest.raises(ValueError, match="concurrency"):
        Worker(Queue(pipelined, name), lambda _: asyncio.sleep(0), concurrency=0)
    with pytest.raises(TypeError, match="concurrency"):
        Worker(Queue(pipelined, name), lambda _: asyncio.sleep(0), concurrency=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("handle", [lambda: None, lambda a, b, c: None, lambda a, *, b: None, None])
async def test_a_handler_that_cannot_be_called_is_refused(pipelined: Redis, name: str, handle: Any) -> None:
    """A handler that takes neither the payload nor the payload and its delivery would bury every message."""
    with pytest.raises(TypeError):
        Worker(Queue(pipelined, name), handle)


@pytest.mark.parametrize("handle", [lambda a: None, lambda a, b: None, lambda a, b=1: None, lambda *a: None, print])
async def test_a_handler_takes_what_it_needs(pipelined: Redis, name: str, handle: Any) -> None:
    """What can be called with the payload, or with the payload and its delivery, is taken."""
    assert Worker(Queue(pipelined, name), handle)
