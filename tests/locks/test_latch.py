"""The latch: each party counts once, it opens for everybody, and is forgotten after its time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import LockTimeoutError
from aioredis_patterns.locks import Latch
from tests.support.faults import Command, Fault, FaultProxy
from tests.support.waiting import eventually


def is_evalsha(command: Command) -> bool:
    return command[0].upper() in (b"EVALSHA", b"EVAL")


async def test_each_party_counts_once(redis: Redis, name: str) -> None:
    """A party that counts down again changes nothing, and one more than there are changes nothing either."""
    latch = Latch(redis, name, count=2)
    assert await latch.missing() == 2
    assert [await latch.count_down("a"), await latch.count_down("a"), await latch.missing()] == [1, 1, 1]
    assert [await latch.count_down("b"), await latch.count_down("c"), await latch.missing()] == [0, 0, 0]
    assert await redis.scard(f"arp:{{{name}}}:latch") == 2


async def test_somebody_counts_with_every_call(pipelined: Redis, name: str) -> None:
    """Without a party every call counts; a number and its digits are one party."""
    latch = Latch(pipelined, name, count=4)
    assert [await latch.count_down(), await latch.count_down()] == [3, 2]
    assert [await latch.count_down(7), await latch.count_down("7")] == [1, 1]


async def test_it_wakes_everybody_when_it_opens(url: str, name: str) -> None:
    """All waiters of all clients go on at once when the last party counts down, and nobody before."""
    async with connect(url) as one, connect(url) as two:
        latches = [Latch(client, name, count=2) for client in (one, two)]
        waiters = [asyncio.create_task(latch.wait()) for latch in latches for _ in range(50)]
        await eventually(lambda: all(link_of(client).subscriptions.listened_to for client in (one, two)))
        await latches[0].count_down("a")
        assert not any(waiter.done() for waiter in waiters)
        started = asyncio.get_running_loop().time()
        await latches[1].count_down("b")
        await asyncio.gather(*waiters)
        assert asyncio.get_running_loop().time() - started < 0.4
        assert not any(link_of(client).subscriptions.listened_to for client in (one, two))


async def test_waiting_for_an_open_latch_is_nothing(pipelined: Redis, name: str) -> None:
    """Who comes late goes on at once, also with no time to wait."""
    latch = Latch(pipelined, name, count=1)
    await latch.count_down("a")
    await latch.wait(timeout=0)
    await latch.wait()


async def test_waiting_ends_at_its_timeout(pipelined: Redis, name: str) -> None:
    """A waiter gives up at its timeout, and leaves no subscription and no key."""
    started = asyncio.get_running_loop().time()
    with pytest.raises(LockTimeoutError, match=r"latch .* did not open within 0.2 s"):
        await Latch(pipelined, name, count=1).wait(timeout=0.2)
    assert 0.2 <= asyncio.get_running_loop().time() - started < 0.35
    with pytest.raises(LockTimeoutError):
        await Latch(pipelined, name, count=1, timeout=0).wait()
    assert not link_of(pipelined).subscriptions.listened_to
    assert await pipelined.keys(f"arp:{{{name}}}:*") == []


async def test_a_silent_server_does_not_prolong_the_timeout(own_server: EmbeddedServer, name: str) -> None:
    """Who looks whether it is open waits no longer than it said, though Redis does not answer."""
    async with connect(own_server.url) as redis:
        latch = Latch(redis, name, count=1)
        assert await latch.missing() == 1
        own_server.pause()
        started = asyncio.get_running_loop().time()
        with pytest.raises(RedisError):
            await latch.wait(timeout=0.2)
        own_server.resume()
        assert asyncio.get_running_loop().time() - started < 2


async def test_a_cancelled_waiter_leaves_nothing(pipelined: Redis, name: str) -> None:
    """Cancelled at any step, a waiter leaves no subscription, no key and no task."""
    before = asyncio.all_tasks()
    for turns in range(12):
        waiter = asyncio.create_task(Latch(pipelined, name, count=1).wait())
        for _ in range(turns):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
    assert not link_of(pipelined).subscriptions.listened_to
    await eventually(lambda: not [task for task in asyncio.all_tasks() - before if not task.done()])
    assert await pipelined.keys(f"arp:{{{name}}}:*") == []


async def test_it_is_forgotten_after_its_time(pipelined: Redis, name: str) -> None:
    """A latch has the expiry that it was given, from the last party that counted, and is closed again after it."""
    latch = Latch(pipelined, name, count=2, ttl=0.1)
    await latch.count_down("a")
    await latch.count_down("b")
    assert 0 < await pipelined.pttl(f"arp:{{{name}}}:latch") <= 100

    async def closed() -> bool:
        return await latch.missing() == 2

    await eventually(closed)


async def test_a_lost_reply_does_not_count_twice(own_server: EmbeddedServer, name: str) -> None:
    """With half of the replies lost each call counts once, with a party and without."""
    async with FaultProxy(own_server.host, own_server.port, seed=3) as proxy, connect(proxy.url) as redis:
        proxy.add(Fault("cut_after", is_evalsha, times=None, probability=0.5))
        latch = Latch(redis, name, count=20)
        assert [await latch.count_down() for _ in range(5)] == [19, 18, 17, 16, 15]
        assert [await latch.count_down(f"{n}") for n in range(5)] == [14, 13, 12, 11, 10]
        assert proxy.struck.total() > 2


async def test_a_waiter_survives_the_loss_of_its_subscription(pipelined: Redis, url: str, name: str) -> None:
    """A waiter whose subscription connection is killed while the latch opens goes on all the same."""
    waiter = asyncio.create_task(Latch(pipelined, name, count=1).wait())
    await eventually(lambda: link_of(pipelined).subscriptions.connected)
    async with connect(url) as other:
        await other.client_kill_filter(_type="pubsub")
        await Latch(other, name, count=1).count_down("a")
    async with asyncio.timeout(3):
        await waiter


@pytest.mark.parametrize("count", [0, -1, True, 1.0, 10_001, "2", None])
def test_a_count_that_makes_no_sense_is_refused(count: Any) -> None:
    """A count that is none is refused when the latch is made, before there is a connection."""
    with pytest.raises((ValueError, TypeError), match="count must be"):
        Latch(Redis(port=1), "name", count=count)


@pytest.mark.parametrize("option", [{"ttl": 0}, {"ttl": float("nan")}, {"timeout": -1}, {"prefix": ""}])
def test_an_option_that_makes_no_sense_is_refused(option: dict[str, Any]) -> None:
    """An option that makes no sense is refused when the latch is made."""
    with pytest.raises((ValueError, TypeError)):
        Latch(Redis(port=1), "name", count=1, **option)


@pytest.mark.parametrize("party", ["", True, b"a", 1.5, "x" * 513])
async def test_a_party_that_makes_no_sense_is_refused(party: Any) -> None:
    """A party that is no name is refused before there is a connection."""
    with pytest.raises((ValueError, TypeError)):
        await Latch(Redis(port=1), "name", count=1).count_down(party)


@pytest.mark.parametrize("odd", ["a{b}c", "}", "nul\0", "line\r\nfeed", "*", "\u00e9"])
async def test_odd_names_work(pipelined: Redis, name: str, odd: str) -> None:
    """Names and parties of any characters work, and touch nothing else."""
    latch = Latch(pipelined, name + odd, count=2)
    waiter = asyncio.create_task(latch.wait(timeout=5))
    assert [await latch.count_down(odd), await latch.count_down("a")] == [1, 0]
    await waiter
    assert await Latch(pipelined, name, count=2).missing() == 2
