"""The stack and the deque: their order, their cap, and that no item is popped twice."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.codecs import codec_for
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import CodecError, OutcomeUnknownError
from aioredis_patterns.queues import Deque, Stack, _ends
from tests.support.faults import Fault, FaultProxy


async def test_the_newest_is_popped_first(redis: Redis, name: str) -> None:
    """What was pushed last is on top, one by one or many at once."""
    stack = Stack(redis, name)
    assert await stack.pop() is None
    assert await stack.peek() is None
    assert await stack.push(1, 2)
    assert await stack.push(3, 4, 5)
    assert (await stack.peek(), await stack.count()) == (5, 5)
    assert await stack.pop() == 5
    assert await stack.pop_many(3) == [4, 3, 2]
    assert await stack.pop_many(3) == [1]
    assert await stack.push(6, 7)
    assert await stack.pop_many(2) == [7, 6]
    assert not await redis.exists(f"arp:{{{name}}}:stack")


async def test_a_full_stack_drops_its_oldest(redis: Redis, name: str) -> None:
    """With a cap the oldest items are dropped, never the new ones."""
    stack = Stack(redis, name, maxlen=3)
    assert await stack.push(1, 2)
    assert await stack.push(3, 4, 5)
    assert await stack.pop_many(9) == [5, 4, 3]


async def test_a_full_stack_may_refuse(redis: Redis, name: str) -> None:
    """A stack that refuses takes all items of a push or none, and keeps what it has."""
    stack = Stack(redis, name, maxlen=3, when_full="refuse")
    assert await stack.push(1, 2)
    assert not await stack.push(3, 4)
    assert await stack.push(5)
    assert await stack.pop_many(9) == [5, 2, 1]


async def test_without_a_cap_nothing_is_refused(redis: Redis, name: str) -> None:
    """A stack that would refuse and has no cap takes what is pushed and what is moved to it."""
    stack, other = Stack(redis, name, when_full="refuse"), Stack(redis, f"{name}:other")
    assert await stack.push(1)
    assert await other.push(2)
    assert await other.move_to(stack) == 2
    small = Stack(redis, f"{name}:small", maxlen=1, when_full="refuse")
    assert [await small.push(3), await small.push(4), await small.count()] == [True, False, 1]


async def test_a_deque_has_two_ends(redis: Redis, name: str) -> None:
    """Items come out at either end, and a cap drops from the one that was not pushed to."""
    deque = Deque(redis, name, maxlen=4)
    await deque.push_right(1, 2, 3)
    await deque.push_left(0, -1)
    assert (await deque.peek_left(), await deque.peek_right(), await deque.count()) == (-1, 2, 4)
    await deque.push_right(9)
    assert [await deque.pop_left(), await deque.pop_right(), await deque.pop_right()] == [0, 9, 2]
    assert [await deque.pop_left(), await deque.pop_left()] == [1, None]


async def test_no_item_is_popped_twice(redis: Redis, name: str) -> None:
    """Of many callers at the same time, each gets another item."""
    stack = Stack(redis, name)
    await stack.push(*range(200))
    popped = await asyncio.gather(*(stack.pop() for _ in range(210)))
    assert sorted(item for item in popped if item is not None) == list(range(200))


async def test_what_cannot_be_read_is_not_lost(redis: Redis, name: str) -> None:
    """An item that the codec refuses stays where it was, with those that were popped beside it."""
    anything, numbers = Deque(redis, name), Deque(redis, name, codec=codec_for(int))
    await anything.push_right(1, "x", 2)
    for pop in (numbers.pop_many_left, numbers.pop_many_right):
        with pytest.raises(CodecError):
            await pop(9)
        assert await anything.count() == 3
    assert [await numbers.pop_left(), await numbers.pop_right(timeout=1)] == [1, 2]
    for timeout in (0, 5):
        with pytest.raises(CodecError):
            await numbers.pop_left(timeout=timeout)
    await anything.push_right(3)
    for _ in range(2):
        with pytest.raises(CodecError):
            await numbers.pop_left()
    assert await anything.pop_many_left(9) == ["x", 3]
    await anything.push_right(3, "x")
    with pytest.raises(CodecError):
        await numbers.pop_right()
    assert await anything.pop_many_left(9) == [3, "x"]
    await anything.push_left(1, 2, "x", 3)
    with pytest.raises(CodecError):
        await numbers.pop_many_right(3)
    assert await anything.pop_many_left(9) == [3, "x", 2, 1]


@pytest.mark.parametrize("nonsense", [{"maxlen": 0}, {"maxlen": sys.maxsize}, {"when_full": "burst"}])
async def test_nonsense_is_refused(pipelined: Redis, name: str, nonsense: Any) -> None:
    """What makes no sense is refused before anything is sent."""
    with pytest.raises(ValueError, match="must be"):
        Stack(pipelined, name, **nonsense)
    for maxlen in (1.5, True, "9"):
        with pytest.raises(TypeError, match="must be an int"):
            Deque(pipelined, name, maxlen=maxlen)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="must be an int"):
        await Stack(pipelined, name).pop_many(1.5)  # type: ignore[arg-type]
    deque: Deque[int] = Deque(pipelined, name)
    for ends in ({"take": "up"}, {"push": "top"}):
        with pytest.raises(ValueError, match="left or right"):
            await deque.move_to(deque, **ends)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="items may be pushed"):
        await Stack(pipelined, name).push()
    with pytest.raises(ValueError, match="count must be"):
        await Deque(pipelined, name)._ends.pop("left", 0)


# Waiting and moving --------------------------------------------------------------------------------------------------


async def waiters(redis: Redis, name: str, count: int, part: str = "stack") -> None:
    """Wait until so many clients wait for items."""
    async with asyncio.timeout(5):
        while await redis.zcard(f"arp:{{{name}}}:{part}-waiters") != count:  # noqa: ASYNC110  # polled
            await asyncio.sleep(0.005)


async def test_who_waits_gets_the_next_item(redis: Redis, name: str) -> None:
    """A pop with a timeout gets what is pushed meanwhile, and None when nothing is."""
    stack = Stack(redis, name)
    assert await stack.pop(timeout=0.02) is None
    await waiters(redis, name, 0)
    pops = [asyncio.create_task(stack.pop(timeout=4)) for _ in range(3)]
    await waiters(redis, name, 1)
    await stack.push("a", "b", "c")
    assert [await pop for pop in pops] == ["c", "b", "a"]


@pytest.mark.parametrize("side", ["left", "right"])
async def test_who_waits_at_an_end_no_more_is_not_in_line(pipelined: Redis, name: str, side: str) -> None:
    """A pop that waits stands in line for a while only, and leaves it when its time is over."""
    deque: Deque[int] = Deque(pipelined, name)
    pop = {"left": deque.pop_left, "right": deque.pop_right}[side]
    waiting = asyncio.create_task(pop(timeout=60))
    await waiters(pipelined, name, 1, "deque")
    assert 0 < await pipelined.pttl(f"arp:{{{name}}}:deque-waiters") <= 30_000
    waiting.cancel()
    await waiters(pipelined, name, 0, "deque")
    assert await pop(timeout=0.02) is None
    await waiters(pipelined, name, 0, "deque")


async def test_an_item_wakes_one_client(pipelined: Redis, url: str, name: str) -> None:
    """Of many clients that wait for an item, as many ask as there are items."""
    async with connect(url) as one, connect(url) as two, connect(url) as three:
        pops = []
        for number, client in enumerate((one, two, three), 1):
            pops.append(asyncio.create_task(Stack(client, name).pop(timeout=30)))
            await waiters(pipelined, name, number)
        before = await calls_of(pipelined)
        await Stack(pipelined, name).push("x")
        await asyncio.wait(pops, return_when=asyncio.FIRST_COMPLETED)
        assert await calls_of(pipelined) - before == 2
        for pop in pops:
            pop.cancel()
        await asyncio.gather(*pops, return_exceptions=True)


async def calls_of(redis: Redis) -> int:
    """How many scripts the server has run by now."""
    return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_clients_that_wait_are_served_in_their_order(url: str, name: str) -> None:
    """Whoever began to wait first gets the first item."""
    async with connect(url) as one, connect(url) as two, connect(url) as three:
        pops = []
        for number, client in enumerate((one, two, three), 1):
            pops.append(asyncio.create_task(Deque(client, name).pop_left(timeout=4)))
            await waiters(client, name, number, "deque")
        for item in "abc":
            await Deque(one, name).push_right(item)
        assert [await pop for pop in pops] == ["a", "b", "c"]


async def test_a_client_that_is_gone_stands_in_nobodys_way(url: str, name: str) -> None:
    """An item goes to the next in line when the connection of the first is closed."""
    async with connect(url) as one:
        await one.zadd(f"arp:{{{name}}}:stack-waiters", {"arp:inbox:gone": 1})
        pop = asyncio.create_task(Stack(one, name).pop(timeout=4))
        await waiters(one, name, 2)
        await Stack(one, name).push("a")
        async with asyncio.timeout(2):
            assert await pop == "a"


async def test_a_client_that_hangs_stands_in_the_way_for_a_while(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item that the first in line hears of, and does not take, goes to the next when that one's time is over."""
    monkeypatch.setattr(_ends, "_RECHECK", 0.1)
    async with connect(url) as one, one.pubsub() as hung:
        await hung.subscribe("arp:inbox:hung")
        await hung.get_message(timeout=5)
        await one.zadd(f"arp:{{{name}}}:stack-waiters", {"arp:inbox:hung": 1})
        pop = asyncio.create_task(Stack(one, name).pop(timeout=10))
        await waiters(one, name, 2)
        await Stack(one, name).push("a")
        assert await pop == "a"


async def test_the_inboxes_of_the_dead_do_not_pile_up(redis: Redis, name: str) -> None:
    """While a list is empty for weeks, clients that die in its line leave no more than a thousand names in it."""
    keys = f"arp:{{{name}}}:stack", f"arp:{{{name}}}:stack-waiters"
    for _ in range(11):
        await asyncio.gather(*(_ends._TAKE(redis, *keys, "left", f"arp:inbox:{uuid4()}", 0, 0) for _ in range(100)))
    assert 990 <= await redis.zcard(keys[1]) <= 1000
    await redis.rpush(keys[0], "item")
    assert len(await _ends._TAKE(redis, *keys, "left", "arp:inbox:late", 0, 1)) == 2


async def test_cancelled_pops_lose_nothing(pipelined: Redis, name: str) -> None:
    """However often pops that wait are cancelled at any moment, every item was popped or is still there."""
    stack: Stack[int] = Stack(pipelined, name)
    chance = random.Random(6)
    pops = [asyncio.create_task(stack.pop(timeout=5)) for _ in range(150)]
    pushes = [asyncio.create_task(stack.push(number)) for number in range(100)]
    for pop in pops:
        pop.cancel()
        await asyncio.sleep(chance.choice((0, 0, 0.0005)))
    await asyncio.gather(*pushes)
    popped = [item for item in await asyncio.gather(*pops, return_exceptions=True) if isinstance(item, int)]
    async with asyncio.timeout(5):
        while await stack.count() + len(popped) < 100:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.005)
    assert sorted(popped + await stack.pop_many(100)) == list(range(100))


async def test_a_pop_that_fails_is_told_of_once(server: EmbeddedServer, name: str) -> None:
    """Who waits for an item and loses the connection gets the error, and the event loop is not told of it as well."""
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    async with FaultProxy(str(server.host), int(server.port or 0)) as proxy, connect(proxy.url) as redis:
        proxy.add(Fault("cut_after", lambda command: command[0] in (b"EVALSHA", b"EVAL")))
        with pytest.raises(OutcomeUnknownError):
            await Stack(redis, name).pop(timeout=5)
    assert not reports


async def test_an_item_is_moved_in_one_step(redis: Redis, name: str) -> None:
    """A move takes an item from one end and pushes it at another, and tells who waits there."""
    deque: Deque[int] = Deque(redis, name)
    await deque.push_right(1, 2, 3)
    assert await deque.move_to(deque) == 1
    assert await deque.move_to(deque, take="right", push="left") == 1
    assert await deque.pop_many_left(2) == [1, 2]
    assert await deque.pop_many_right(2) == [3]
    assert await deque.move_to(deque) is None


async def test_a_full_stack_is_not_moved_to(pipelined: Redis, name: str) -> None:
    """A stack that refuses keeps the item where it was, one that drops loses its own oldest."""
    source: Stack[int] = Stack(pipelined, name)
    await source.push(1, 2, 3)
    refusing: Stack[int] = Stack(pipelined, f"{name}-to", maxlen=1, when_full="refuse")
    dropping: Stack[int] = Stack(pipelined, f"{name}-to", maxlen=1)
    assert [await source.move_to(refusing), await source.move_to(refusing)] == [3, None]
    assert await source.move_to(dropping) == 2
    assert (await source.pop_many(9), await dropping.pop_many(9)) == ([1], [2])


async def test_who_waits_gets_what_is_moved(pipelined: Redis, name: str) -> None:
    """A pop that waits for the target is woken by a move."""
    source, target = Stack(pipelined, name), Stack(pipelined, f"{name}-to")
    pop = asyncio.create_task(target.pop(timeout=4))
    await waiters(pipelined, f"{name}-to", 1)
    await source.push("x")
    assert await source.move_to(target) == "x"
    async with asyncio.timeout(2):
        assert await pop == "x"
