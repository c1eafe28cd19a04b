"""One subscription connection per client: who listens, who is woken, and what is left when they go."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.client import connect, subscriptions
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.subscriptions import Bell, Subscriptions
from aioredis_patterns.embedded import EmbeddedServer
from tests.support.waiting import eventually


@pytest.fixture
async def listeners(redis: Redis) -> AsyncIterator[Subscriptions]:
    """The subscriptions of a client of each kind; no task is left behind."""
    before = asyncio.all_tasks()
    yield link_of(redis).subscriptions
    await eventually(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()})


async def channels(redis: Redis, pattern: str) -> list[str]:
    return [name if isinstance(name, str) else name.decode() for name in await redis.pubsub_channels(pattern)]


async def connections(redis: Redis) -> int:
    return len(await redis.client_list(_type="pubsub"))


async def test_a_message_rings_the_bell(redis: Redis, listeners: Subscriptions, name: str) -> None:
    """A message published once `listen` is entered wakes the one who waits."""
    async with listeners.listen(name) as bell:
        waiter = asyncio.create_task(bell.wait(5))
        assert await redis.publish(name, "x") == 1
        assert await waiter
        assert not bell.rung


async def test_a_bell_stays_rung(redis: Redis, listeners: Subscriptions, name: str) -> None:
    """A message that comes while nobody waits is noticed by the next wait, once."""
    async with listeners.listen(name) as bell:
        await redis.publish(name, "x")
        await eventually(lambda: bell.rung)
        assert await bell.wait(0)
        assert not await bell.wait(0.01)


async def test_listeners_of_a_channel_share_a_subscription(redis: Redis, listeners: Subscriptions, name: str) -> None:
    """Several listeners of one channel are one subscriber on the server; the last one to leave ends it."""
    async with listeners.listen(name) as first:
        async with listeners.listen(name) as second:
            assert await redis.publish(name, "x") == 1
            assert await first.wait(5)
            assert await second.wait(5)
        assert await redis.publish(name, "y") == 1
        assert await first.wait(5)
    await eventually_no_channel(redis, name)


async def eventually_no_channel(redis: Redis, name: str) -> None:
    for _ in range(500):
        if not await channels(redis, name):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("still subscribed")


async def test_a_topic_wakes_its_own_listeners(redis: Redis, listeners: Subscriptions) -> None:
    """A message in the inbox rings the bells of the topic that it names, and no others."""
    async with listeners.listen(listeners.inbox, "a") as a, listeners.listen(listeners.inbox, "b") as b:
        assert await redis.publish(listeners.inbox, "b") == 1
        assert await b.wait(5)
        assert not a.rung


async def test_hundreds_of_listeners_take_one_connection(pipelined: Redis, name: str) -> None:
    """500 listeners of as many topics take one connection and one subscription."""
    listeners = link_of(pipelined).subscriptions
    before = await connections(pipelined)
    ready = 0

    async def listen(topic: str) -> bool:
        nonlocal ready
        async with listeners.listen(listeners.inbox, topic) as bell:
            ready += 1
            return await bell.wait(10)

    tasks = [asyncio.create_task(listen(f"{name}:{number}")) for number in range(500)]
    await eventually(lambda: ready == 500)
    assert await connections(pipelined) == before + 1
    for number in range(500):
        await pipelined.publish(listeners.inbox, f"{name}:{number}")
    assert all(await asyncio.gather(*tasks))


async def test_a_lost_connection_rings_every_bell(redis: Redis, listeners: Subscriptions, name: str) -> None:
    """After a reconnect every listener is woken, since a message may have been missed, and hears messages again."""
    async with listeners.listen(name) as one, listeners.listen(listeners.inbox, "topic") as other:
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await one.wait(5)
        assert await other.wait(5)
        assert await redis.publish(name, "x") == 1
        assert await one.wait(5)


async def test_a_server_that_comes_back_is_listened_to_again(own_server: EmbeddedServer, name: str) -> None:
    """Listeners outlive a restart of the server."""
    async with connect(own_server.url) as redis, link_of(redis).subscriptions.listen(name) as bell:
        await own_server.restart()
        assert await bell.wait(10)
        assert await redis.publish(name, "x") == 1
        assert await bell.wait(5)


async def test_a_silent_connection_is_replaced(
    own_server: EmbeddedServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer a sign of life is given up, and listened to again when it answers."""
    monkeypatch.setattr(subscriptions, "HEARTBEAT", 0.1)
    async with connect(own_server.url) as redis, link_of(redis).subscriptions.listen(name) as bell:
        own_server.pause()
        await eventually(lambda: not link_of(redis).subscriptions.connected)
        own_server.resume()
        assert await bell.wait(10)


async def test_an_idle_connection_is_closed(pipelined: Redis, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody has listened for a while the connection is closed, and opened for the next listener."""
    monkeypatch.setattr(subscriptions, "HEARTBEAT", 0.05)
    monkeypatch.setattr(subscriptions, "IDLE", 0.1)
    listeners = link_of(pipelined).subscriptions
    async with listeners.listen(listeners.inbox, "topic"):
        assert listeners.connected
    await eventually(lambda: not listeners.connected)
    async with listeners.listen(name) as bell:
        await pipelined.publish(name, "x")
        assert await bell.wait(5)


async def test_a_storm_of_cancellations_leaves_nothing(redis: Redis, listeners: Subscriptions, name: str) -> None:
    """Listeners cancelled at random moments, before the confirmation or after, leave no subscription."""
    dice = random.Random(3)

    async def listen(channel: str) -> None:
        async with listeners.listen(channel) as bell:
            await bell.wait(10)

    for round_ in range(20):
        tasks = [asyncio.create_task(listen(f"{name}:{dice.randrange(5)}")) for _ in range(30)]
        for task in tasks:
            if dice.random() < 0.3:
                await asyncio.sleep(dice.random() * 0.002)
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        if round_ % 5 == 4:
            async with listeners.listen(
                f"{name}:killed"
            ) as bell:  # which the loss rings, so that it wakes nobody later
                await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                assert await bell.wait(5)
    await eventually_no_channel(redis, f"{name}:*")
    async with listeners.listen(f"{name}:0") as bell:
        assert await redis.publish(f"{name}:0", "x") == 1
        assert await bell.wait(5)


async def test_a_confirmation_belongs_to_its_own_subscription(pipelined: Redis, name: str) -> None:
    """Who listens right after another left hears every message from the moment of entering."""
    listeners = link_of(pipelined).subscriptions
    for _ in range(200):
        first = asyncio.create_task(listeners.listen(name).__aenter__())
        await asyncio.sleep(0)
        first.cancel()
        async with listeners.listen(name) as bell:
            assert await pipelined.publish(name, "x") == 1
            assert await bell.wait(5)
        await asyncio.wait([first])


async def test_a_connection_lost_right_after_the_confirmation_costs_nothing(pipelined: Redis, name: str) -> None:
    """Who was confirmed in the moment in which the connection ends listens on, and looks for itself."""
    listeners = link_of(pipelined).subscriptions

    async def listen() -> bool:
        async with listeners.listen(name) as bell:
            return await bell.wait(5)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)

    def lose(_: object) -> None:
        assert listeners._wire is not None
        listeners._wire.abort("lost by the test")

    listeners._stations[name.encode()].ready.add_done_callback(lose)
    assert await listening


async def test_a_refused_subscription_is_an_error(own_server: EmbeddedServer, name: str) -> None:
    """A client that may not subscribe is told so at once, and may go on with other channels."""
    async with connect(own_server.url) as admin:
        await admin.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "resetchannels", "&good")
        async with connect(own_server.url, username="limited", password="pw") as redis:
            listeners = link_of(redis).subscriptions
            with pytest.raises(NoPermissionError):
                async with listeners.listen(name):
                    pass
            async with listeners.listen("good") as bell:
                await admin.publish("good", "x")
                assert await bell.wait(5)


async def test_no_server_is_an_error_within_the_deadline(own_server: EmbeddedServer, name: str) -> None:
    """Without a server `listen` raises at its deadline."""
    async with connect(own_server.url, deadline=0.2) as redis:
        listeners = link_of(redis).subscriptions
        await own_server.kill()
        started = asyncio.get_running_loop().time()
        with pytest.raises(RedisConnectionError):
            async with listeners.listen(name):
                pass
        assert asyncio.get_running_loop().time() - started < 0.4


async def test_closing_wakes_every_listener(pipelined: Redis, name: str) -> None:
    """Who listens when the client is closed is woken; who listens afterwards is served by a new connection."""
    listeners = link_of(pipelined).subscriptions
    async with listeners.listen(name) as bell:
        await listeners.aclose()
        assert not listeners.connected
        assert await bell.wait(1)
    async with listeners.listen(name) as bell:
        await pipelined.publish(name, "x")
        assert await bell.wait(5)


@pytest.mark.parametrize("steps", range(4))
async def test_a_client_closed_at_any_step_of_its_first_wait_listens_again(
    pipelined: Redis, name: str, steps: int
) -> None:
    """Closing ends the connecting, also where that has not begun; who listens later opens a connection."""
    listeners = link_of(pipelined).subscriptions
    first = asyncio.create_task(_listen(listeners, name))
    for _ in range(steps):
        await asyncio.sleep(0)
    await listeners.aclose()
    await asyncio.gather(first, return_exceptions=True)
    async with asyncio.timeout(2):
        await _listen(listeners, name)


async def _listen(listeners: Subscriptions, name: str) -> None:
    async with listeners.listen(name):
        pass


async def test_a_forgotten_client_takes_its_connection_along(url: str, pipelined: Redis, name: str) -> None:
    """A client that nobody holds any more is collected with its subscription connection."""
    before = await connections(pipelined)
    client: Redis | None = Redis.from_url(url)
    assert client is not None
    async with link_of(client).subscriptions.listen(name):
        assert await connections(pipelined) == before + 1
    client = None
    for _ in range(200):
        gc.collect()
        if await connections(pipelined) == before:
            break
        await asyncio.sleep(0.01)
    assert await connections(pipelined) == before


async def test_a_bell_waits_as_long_as_it_was_told() -> None:
    """An unanswered wait ends at its timeout with False, neither early nor late, and a cancelled one leaves nothing."""
    bell, loop = Bell(), asyncio.get_running_loop()
    started = loop.time()
    assert await bell.wait(0.05) is False
    assert 0.045 <= loop.time() - started < 0.2
    task = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    bell.ring()
    assert await bell.wait() is True


async def test_a_subscription_that_is_not_confirmed_ends_at_the_deadline(own_server: EmbeddedServer, name: str) -> None:
    """On a connection that stands a silent server costs the deadline, and disturbs nobody who listens already."""
    async with connect(own_server.url, deadline=0.3) as redis:
        listeners = link_of(redis).subscriptions
        async with listeners.listen(name) as bell:
            own_server.pause()
            try:
                with pytest.raises(RedisTimeoutError, match=r"no subscription within 0.3 s"):
                    async with listeners.listen(f"{name}:other"):
                        pass
            finally:
                own_server.resume()
            assert await redis.publish(name, "x") == 1
            assert await bell.wait(5)
