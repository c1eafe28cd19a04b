"""What every queue promises, whatever its order and whichever client it is on."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns._core.renewal import Renewals
from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.codecs import codec_for
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import CodecError, OutcomeUnknownError, QueueFullError
from aioredis_patterns.queues import PriorityQueue, Queue, QueueStats, Transaction
from aioredis_patterns.queues._waiting import Waiting
from aioredis_patterns.queues.delivery import hand_back
from tests.support.faults import Command, Fault, FaultProxy
from tests.support.full import fill
from tests.support.waiting import eventually

Make = Callable[..., Any]


@pytest.fixture(params=[Queue, PriorityQueue])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a queue of the class under test."""
    kind: Make = request.param
    return kind


async def drained(queue: Any) -> list[Any]:
    """The payloads of all that is ready, each acknowledged."""
    payloads = []
    while delivery := await queue.claim(timeout=0):
        payloads.append(delivery.payload)
        assert await delivery.ack()
    return payloads


async def until(queue: Any, wanted: Callable[[QueueStats], bool]) -> None:
    """Wait until the counts are as wanted."""
    async with asyncio.timeout(10):
        while not wanted(await queue.stats()):  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)


async def end_long_ago(redis: Redis, name: str, id_: str) -> None:
    """Have the ttl of a message be over."""
    records = f"arp:{{{name}}}:messages"
    put, _, rest = (await redis.hget(records, id_) or b"").split(b" ", 2)
    await redis.hset(records, id_, b"%b 1 %b" % (put, rest))


# Putting and claiming ------------------------------------------------------------------------------------------------


async def test_messages_come_in_their_order(redis: Redis, name: str, make: Make) -> None:
    """What was put is claimed in its order, once, with its id and its headers."""
    queue = make(redis, name)
    first = await queue.put({"n": 0}, headers={"traceparent": "00-ab"})
    await queue.put_many([{"n": number} for number in range(1, 1200)])
    delivery = await queue.claim(timeout=0)
    assert (delivery.id, delivery.attempt, delivery.headers) == (first, 1, {"traceparent": "00-ab"})
    assert await delivery.ack()
    assert delivery.payload == {"n": 0}
    assert await drained(queue) == [{"n": number} for number in range(1, 1200)]
    assert await queue.stats() == QueueStats(0, 0, 0, 0, None)


async def test_who_waits_no_more_is_not_in_line(redis: Redis, name: str, make: Make) -> None:
    """A claim that waits stands in line for a while only, and leaves it when it is cancelled or its time is over."""
    queue, line = make(redis, name), f"arp:{{{name}}}:waiters"

    async def is_gone() -> bool:
        return not await redis.exists(line)

    waiting = asyncio.create_task(queue.claim(timeout=60))
    await eventually(lambda: redis.exists(line))
    assert 0 < await redis.pttl(line) <= 30_000
    waiting.cancel()
    await eventually(is_gone)
    assert await queue.claim(timeout=0.02) is None
    await eventually(is_gone)


async def test_nothing_is_left_of_what_was_done(redis: Redis, name: str, make: Make) -> None:
    """Of messages that were acknowledged, one by one or together, no record, lease or attempt is left."""
    queue = make(redis, name)
    await queue.put_many(range(5))
    first = await queue.claim(timeout=0)
    assert await first.ack() is True
    acked = await asyncio.gather(*[delivery.ack() for delivery in await queue.claim_many(9, timeout=0)])
    assert acked == [True] * 4
    await queue.put_many("ab")
    committed, rejected = await queue.claim_many(2)
    assert await Transaction(committed).commit()
    assert await rejected.reject("no")
    assert await queue.dead.drop() == 1
    for part in ("messages", "leased", "ready", "dead"):
        assert not await redis.exists(f"arp:{{{name}}}:{part}")
    known = [str(field).removeprefix("b'") for field in await redis.hkeys(f"arp:{{{name}}}:index")]
    assert [field for field in known if field.startswith(("a:", "t:", "r:"))] == []


async def test_a_message_ends_when_it_was_said(redis: Redis, name: str, make: Make) -> None:
    """The end of a message is as far from its put as its time to live, to the microsecond."""
    await make(redis, name).put("x", ttl=100)
    (record,) = await redis.hvals(f"arp:{{{name}}}:messages")
    put, ends = record.split()[:2]
    assert int(ends) - int(put) == 100_000_000


async def test_what_is_due_is_ready(pipelined: Redis, name: str, make: Make) -> None:
    """A message whose delay is over counts as one that may be claimed, before anybody claims it."""
    queue = make(pipelined, name)
    await queue.put("x", delay=0.05)
    await until(queue, lambda stats: stats.ready == 1)
    assert await queue.stats() == QueueStats(1, 0, 0, 0, pytest.approx(30, abs=30))


async def test_what_a_dead_consumer_held_has_an_age(pipelined: Redis, name: str, make: Make) -> None:
    """Where all that is ready was held by who is gone, or is due, the age is still that of a message that is ready."""
    queue = make(pipelined, name, visibility=0.05)
    await queue.put("held")
    assert (await queue.stats()).oldest_age is not None
    assert await queue.claim(timeout=0) is not None
    await until(queue, lambda stats: stats.ready == 1)
    assert 0.05 <= (await queue.stats()).oldest_age < 60
    assert await (await queue.claim(timeout=0)).ack()
    await queue.put("due", delay=0.05)
    await until(queue, lambda stats: stats.ready == 1)
    assert 0.05 <= (await queue.stats()).oldest_age < 60


async def test_what_was_put_before_a_clock_stepped_back_has_an_age(pipelined: Redis, name: str, make: Make) -> None:
    """A message whose time is still to come, since the server's clock was set back, is as old as one put now."""
    queue = make(pipelined, name)
    id_ = await queue.put("x")
    messages = queue._place.messages
    record = await pipelined.hget(messages, id_)
    seconds, _ = await pipelined.time()
    await pipelined.hset(messages, id_, b"%d" % ((seconds + 3600) * 1_000_000) + record[record.index(b" ") :])
    assert await queue.stats() == QueueStats(1, 0, 0, 0, 0.0)


async def test_headers_that_are_none_become_a_dead_letter(pipelined: Redis, name: str, make: Make) -> None:
    """A record whose headers are no mapping of texts, or nested beyond measure, is put aside at once."""
    queue = make(pipelined, name)
    damaged = [b"5", b"[]", b"{", b"[" * 100_000, b'{"a": 1}', b"\xff"]
    for headers in damaged:
        id_ = await queue.put("x")
        await pipelined.hset(f"arp:{{{name}}}:messages", id_, b"1 0 0 \t\n" + headers + b'\n"x"')
    await queue.put("good")
    assert await drained(queue) == ["good"]
    letters = await queue.dead.list()
    assert [letter.reason[:11] for letter in letters] == ["undecodable"] * len(damaged)
    assert {len(letter.headers) for letter in letters} == {0}


async def test_a_record_that_is_none_becomes_a_dead_letter(pipelined: Redis, name: str, make: Make) -> None:
    """What somebody else has overwritten is put aside, whether it was ready, delayed or leased; the others come."""
    queue = make(pipelined, name, visibility=0.1)
    await queue.put_many("abc")
    await queue.put("d", delay=0.1)
    await queue.claim(timeout=0)
    records = f"arp:{{{name}}}:messages"
    ids = await pipelined.hkeys(records)
    for number in (0, 1, 3):
        await pipelined.hset(records, ids[number], "no record")
    found = []

    async def all_are_aside() -> bool:
        found.extend(await drained(queue))
        return await queue.stats() == QueueStats(0, 0, 0, 3, None)

    await eventually(all_are_aside)
    assert found == ["c"]
    letters = await queue.dead.list()
    assert [(letter.body, letter.reason[:11]) for letter in letters] == [(b"no record", "undecodable")] * 3
    assert await queue.dead.drop() == 3
    assert not await pipelined.exists(records)


async def test_a_delivery_without_its_record_is_over(pipelined: Redis, name: str, make: Make) -> None:
    """What has lost its record while it was handled is held no more, and does not come again."""
    queue = make(pipelined, name)
    await queue.put("a")
    delivery = await queue.claim(timeout=0)
    await pipelined.delete(f"arp:{{{name}}}:messages")
    assert not await delivery.nack()
    assert await queue.stats() == QueueStats(0, 0, 0, 0, None)


async def test_a_dead_letter_without_its_record_is_none(pipelined: Redis, name: str, make: Make) -> None:
    """What has lost its record can be dropped and cannot be replayed, and those beside it can."""
    queue = make(pipelined, name)
    for ending in (queue.dead.drop, queue.dead.replay):
        await queue.put_many("ab")
        while delivery := await queue.claim(timeout=0):
            await delivery.reject("bad")
        records = f"arp:{{{name}}}:messages"
        await pipelined.hdel(records, (await pipelined.hkeys(records))[0])
        assert len(await queue.dead.list()) == 1
        await ending()
        assert (await queue.stats()).dead == 0
    assert len(await drained(queue)) == 1


async def test_a_dead_letter_has_no_say_over_who_came_after(pipelined: Redis, name: str, make: Make) -> None:
    """What is put with the mark of a dead letter is pending by it, also when the letter is dropped."""
    queue = make(pipelined, name)
    await queue.put(1, dedup="x")
    assert await (await queue.claim(timeout=0)).reject("no")
    second = await queue.put(2, dedup="x")
    assert await queue.dead.drop() == 1
    assert await queue.put(3, dedup="x") == second
    assert await drained(queue) == [2]


async def test_a_full_server_is_worked_off(own_server: EmbeddedServer, name: str, make: Make) -> None:
    """When Redis is out of memory messages are claimed, held longer, given back and acknowledged."""
    async with connect(own_server.url) as redis:
        queue = make(redis, name)
        for payload in range(3):
            await queue.put(payload)
        await fill(redis)
        first = await queue.claim(timeout=0)
        assert await first.extend()
        assert await first.ack()
        second = await queue.claim(timeout=0)
        assert await second.nack(delay=60)
        third = await queue.claim(timeout=0)
        assert await third.reject("no")
        assert await queue.dead.drop() == 1
        assert (await queue.stats()).delayed == 1


async def test_many_are_claimed_at_once(pipelined: Redis, name: str, make: Make) -> None:
    """A claim of many gives as many as there are, each under a lease of its own."""
    queue = make(pipelined, name)
    await queue.put_many([1, 2, 3])
    first, second = await queue.claim_many(2)
    assert await first.ack()
    assert not await first.ack()
    assert await second.nack()
    assert [delivery.payload for delivery in await queue.claim_many(10)] == [3, 2]


async def test_an_empty_queue_is_waited_for(pipelined: Redis, name: str, make: Make) -> None:
    """A claim gives None when its time is over, and leaves nothing behind."""
    assert await make(pipelined, name).claim(timeout=0) is None
    assert await make(pipelined, name).claim(timeout=0.05) is None
    assert len(link_of(pipelined).companion(Waiting)) == 0


async def test_a_put_wakes_a_consumer(redis: Redis, url: str, name: str, make: Make) -> None:
    """Consumers of another client that wait are woken by a put, long before they would look for themselves."""
    async with connect(url) as other:
        queue = make(other, name)
        claims = [asyncio.create_task(queue.claim(timeout=4)) for _ in range(3)]
        async with asyncio.timeout(3):
            while await redis.zcard(f"arp:{{{name}}}:waiters") == 0:  # noqa: ASYNC110  # the state is the server's
                await asyncio.sleep(0.01)
            await make(redis, name).put_many(["a", "b", "c"])
            found = [await claim for claim in claims]
        assert sorted(delivery.payload for delivery in found) == ["a", "b", "c"]


async def test_a_delayed_message_comes_when_it_is_due(redis: Redis, name: str, make: Make) -> None:
    """A message with a delay is not claimed before, and a waiting consumer gets it soon after."""
    queue = make(redis, name)
    claim = asyncio.create_task(queue.claim(timeout=4))
    await until(queue, lambda _: len(link_of(redis).companion(Waiting)) == 1)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await queue.put("later", delay=0.2)
    delivery = await claim
    assert delivery.payload == "later"
    assert 0.19 < loop.time() - before < 2
    assert await queue.claim(timeout=0) is None
    assert not await redis.exists(f"arp:{{{name}}}:waiters")


async def test_times_are_exact(pipelined: Redis, name: str, make: Make) -> None:
    """A lease and a delay last as long as was said, to the microsecond, whoever said it."""
    queue = make(pipelined, name, visibility=1000)

    async def lasts(call: Any, seconds: int, part: str) -> Any:
        times = [await pipelined.time()]
        result = await call
        times.append(await pipelined.time())
        ((_, end),) = await pipelined.zrange(f"arp:{{{name}}}:{part}", 0, -1, withscores=True)
        earliest, latest = [(whole + seconds) * 1_000_000 + micros for whole, micros in times]
        assert earliest <= end <= latest
        return result

    await queue.put(1, dedup="x")
    delivery = await lasts(queue.claim(timeout=0), 1000, "leased")
    await lasts(delivery.extend(2000), 2000, "leased")
    await lasts(queue.put(2, delay=3000), 3000, "delayed")
    assert (await queue.stats()).delayed == 1
    await pipelined.delete(f"arp:{{{name}}}:delayed")

    async def put_meanwhile() -> None:
        await queue.put(3, dedup="x", dedup_again=True, delay=4000)
        await delivery.ack()

    await lasts(put_meanwhile(), 4000, "delayed")
    await pipelined.delete(f"arp:{{{name}}}:delayed")
    await queue.put(5)
    await lasts((await queue.claim(timeout=0)).nack(delay=5000), 5000, "delayed")


async def test_who_waits_does_not_ask_and_ask(pipelined: Redis, name: str, make: Make) -> None:
    """A consumer sleeps until the next message may be claimed, however far that is."""
    queue = make(pipelined, name)
    await queue.put("x", delay=60)
    before = await calls_of(pipelined)
    assert await queue.claim(timeout=0.3) is None
    assert await calls_of(pipelined) - before <= 3


async def test_a_message_wakes_one_client(pipelined: Redis, url: str, name: str, make: Make) -> None:
    """Of many clients that wait, as many ask as there are messages."""
    waiters = f"arp:{{{name}}}:waiters"
    async with connect(url) as one, connect(url) as two, connect(url) as three:
        claims = []
        for number, client in enumerate((one, two, three), 1):
            claims.append(asyncio.create_task(make(client, name).claim(timeout=30)))
            await eventually(lambda number=number: _has(pipelined, waiters, number))
        before = await calls_of(pipelined)
        await make(pipelined, name).put("x")
        await asyncio.wait(claims, return_when=asyncio.FIRST_COMPLETED)
        assert await pipelined.zcard(waiters) == 2
        assert await calls_of(pipelined) - before == 2
        for claim in claims:
            claim.cancel()
        await asyncio.gather(*claims, return_exceptions=True)


async def _has(redis: Redis, key: str, count: int) -> bool:
    return bool(await redis.zcard(key) == count)


async def test_what_is_handed_back_together_wakes_all_that_it_is_for(
    pipelined: Redis, url: str, name: str, make: Make
) -> None:
    """Whoever takes one of several messages tells the next client, and who gives up passes on what he was told."""
    queue, waiters = make(pipelined, name), f"arp:{{{name}}}:waiters"
    await queue.put_many("ab")
    tokens = [delivery.token for delivery in await queue.claim_many(2)]
    async with connect(url) as one, connect(url) as two, pipelined.pubsub() as gone:
        claims = []
        for number, client in enumerate((one, two), 1):
            claims.append(asyncio.create_task(make(client, name).claim(timeout=30)))
            await eventually(lambda number=number: _has(pipelined, waiters, number))
        assert await hand_back(queue._place, link_of(pipelined), *tokens) == 2
        async with asyncio.timeout(5):  # after 7 each would look for himself
            found = await asyncio.gather(*claims)
        assert sorted((delivery.payload, delivery.attempt) for delivery in found) == [("a", 1), ("b", 1)]
        await gone.subscribe("arp:inbox:gone")
        await gone.get_message(timeout=5)
        await pipelined.zadd(waiters, {"arp:inbox:gone": 1})
        claim = asyncio.create_task(make(one, name).claim(timeout=30))
        await eventually(lambda: _has(pipelined, waiters, 2))
        await queue.put("c")
        await hand_back(queue._place, link_of(pipelined), inbox="arp:inbox:gone")
        async with asyncio.timeout(5):
            assert (await claim).payload == "c"


async def test_the_inboxes_of_the_dead_do_not_pile_up(redis: Redis, name: str, make: Make) -> None:
    """While a queue is empty for weeks, clients that die in its line leave no more than a thousand names in it."""
    claiming, waiters = make(redis, name)._claiming, f"arp:{{{name}}}:waiters"
    for _ in range(11):
        await asyncio.gather(*(claiming._ask(link_of(redis), 1, f"arp:inbox:{uuid4()}") for _ in range(100)))
    assert 990 <= await redis.zcard(waiters) <= 1000
    await redis.zadd(waiters, {f"older:{number}": 1 for number in range(1000)})
    before = await redis.zcard(waiters)
    await claiming._ask(link_of(redis), 1, "arp:inbox:late")
    assert await redis.zcard(waiters) == before - 1
    assert await redis.zscore(waiters, "arp:inbox:late")


async def test_who_waits_gets_what_a_dead_consumer_held(pipelined: Redis, name: str, make: Make) -> None:
    """When a lease ends, who waits gets its message before he would look for himself; all return in their order."""
    queue = make(pipelined, name, visibility=0.3)
    await queue.put_many("abc")
    assert len(await queue.claim_many(3)) == 3
    again = await queue.claim_many(9, timeout=2)  # after 2.5 he would look for himself
    assert [delivery.payload for delivery in again] == ["a", "b", "c"]


async def test_a_claim_whose_reply_was_lost_is_the_same(own_server: EmbeddedServer, name: str, make: Make) -> None:
    """A claim that is asked again after its reply was lost gives what the first one took, and takes no more."""
    async with FaultProxy(str(own_server.host), int(own_server.port or 0)) as proxy, connect(proxy.url) as redis:
        queue = make(redis, name)
        await queue.put_many("abc")
        fault = proxy.add(Fault("cut_after", is_evalsha))
        found = await queue.claim_many(2)
        assert proxy.struck[fault] == 1
        assert [(delivery.payload, delivery.attempt) for delivery in found] == [("a", 1), ("b", 1)]
        assert await queue.stats() == QueueStats(1, 0, 2, 0, pytest.approx(30, abs=30))
        assert [await delivery.ack() for delivery in found] == [True, True]


async def test_a_mark_without_its_message_is_none(pipelined: Redis, name: str, make: Make) -> None:
    """A dedup key whose message somebody has removed stands in nobody's way."""
    queue = make(pipelined, name)
    first = await queue.put(1, dedup="x")
    await pipelined.delete(f"arp:{{{name}}}:messages")
    assert await queue.put(2, dedup="x") != first
    assert await drained(queue) == [2]


async def test_the_like_of_a_pending_message_is_not_put(redis: Redis, name: str, make: Make) -> None:
    """While a message with a dedup key is pending, its id is the answer; once acknowledged, the key is free."""
    queue = make(redis, name)
    first = await queue.put(1, dedup="user:42")
    assert await queue.put(2, dedup="user:42") == first
    assert await queue.put(3, dedup="user:43") != first
    delivery = await queue.claim(timeout=0)
    assert await queue.put(4, dedup="user:42") == first
    assert await delivery.ack()
    assert await queue.put(5, dedup="user:42") != first
    assert await drained(queue) == [3, 5]


async def test_the_like_is_not_put_within_a_window(redis: Redis, name: str, make: Make) -> None:
    """Within the window no other message with the key is put, even when the first has ended; after it, one is."""
    queue = make(redis, name)
    first = await queue.put(1, dedup="user:42", dedup_for=60)
    assert await drained(queue) == [1]
    assert await queue.put(2, dedup="user:42", dedup_for=60) == first
    assert await queue.put(3, dedup="user:43", dedup_for=0.02) != first
    async with asyncio.timeout(5):
        while await redis.exists(f"arp:{{{name}}}:recent:user:43"):  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)
    await queue.put(4, dedup="user:43", dedup_for=60)
    assert await drained(queue) == [3, 4]


async def test_what_changed_meanwhile_is_handled_once_more(redis: Redis, name: str, make: Make) -> None:
    """What is put while the like of it is handled is claimed once, as it was put last, after that has ended."""
    queue = make(redis, name)
    first = await queue.put(1, dedup="user:42", dedup_again=True)
    assert await queue.put(2, dedup="user:42", dedup_again=True) == first
    delivery = await queue.claim(timeout=0)
    again = await queue.put(3, dedup="user:42", dedup_again=True)
    assert again != first
    assert await queue.put(4, dedup="user:42", dedup_again=True) == again
    assert await queue.put(5, dedup="user:42") == first
    assert await queue.claim(timeout=0) is None
    waiting = asyncio.create_task(queue.claim(timeout=5))
    await until(queue, lambda _: len(link_of(redis).companion(Waiting)) == 1)
    assert await delivery.ack()
    more = await waiting
    assert (delivery.payload, more.payload, more.id, more.attempt) == (1, 4, again, 1)
    assert await queue.put(6, dedup="user:42") == again
    assert await queue.put(7, dedup="user:42", dedup_again=True) not in {first, again}
    assert await more.ack()
    assert await drained(queue) == [7]
    assert await queue.stats() == QueueStats(0, 0, 0, 0, None)
    assert not await redis.exists(f"arp:{{{name}}}:messages")


@pytest.mark.parametrize("end", ["nack", "reject", "commit", "fail", "lease", "ttl", "hand_back"])
async def test_what_is_to_run_again_does_not_depend_on_how_it_ends(
    pipelined: Redis, name: str, make: Make, end: str
) -> None:
    """Whatever becomes of the message before, the one that was put meanwhile is claimed once after its end."""
    queue = make(pipelined, name, max_deliveries=1, visibility=0.05 if end == "lease" else 30)
    first = await queue.put(1, dedup="x", ttl=60 if end == "ttl" else None)
    delivery = await queue.claim(timeout=0)
    await queue.put(2, dedup="x", dedup_again=True)
    transaction = Transaction(delivery)
    if end == "commit":
        assert await transaction.commit()
    elif end == "fail":
        transaction.write("INCR", f"arp:{{{name}}}:messages")
        with pytest.raises(ResponseError):
            await transaction.commit()
    elif end in {"ttl", "hand_back"}:
        assert await delivery.hand_back()
        if end == "ttl":
            await end_long_ago(pipelined, name, first)
    elif end != "lease":
        assert await (delivery.nack() if end == "nack" else delivery.reject("no"))
    more = await queue.claim(timeout=5)
    if end == "hand_back":
        assert (more.payload, await more.ack()) == (1, True)
        more = await queue.claim(timeout=0)
    assert (more.payload, await more.ack()) == (2, True)
    assert await drained(queue) == []


async def test_what_is_to_run_again_keeps_its_delay(pipelined: Redis, name: str, make: Make) -> None:
    """A message with a delay that is put meanwhile is claimed neither before the other's end nor before its time."""
    queue = make(pipelined, name)
    await queue.put(1, dedup="x")
    delivery = await queue.claim(timeout=0)
    await queue.put(2, dedup="x", dedup_again=True, delay=60)
    await delivery.ack()
    assert await queue.stats() == QueueStats(0, 1, 0, 0, None)


async def test_a_full_queue_holds_its_senders(pipelined: Redis, name: str, make: Make) -> None:
    """In a full queue a put waits for room, and raises when there was none in time; what is delayed counts."""
    queue = make(pipelined, name, maxlen=3)
    await queue.put("later", delay=60, dedup="like")
    await queue.put_many([1, 2], timeout=0)
    with pytest.raises(QueueFullError, match="3 messages"):
        await queue.put(3, timeout=0.01)
    small = make(pipelined, f"{name}:small", maxlen=3)
    await small.put(0)
    with pytest.raises(QueueFullError):
        await small.put_many([1, 2, 3], timeout=0)
    assert (await small.stats()).ready == 1
    assert await queue.put("later", dedup="like", timeout=0)
    put = asyncio.create_task(queue.put(4))
    await asyncio.sleep(0)
    assert (await queue.claim(timeout=0)).payload == 1
    await put
    assert [delivery.payload for delivery in await queue.claim_many(9)] == [2, 4]


async def test_more_than_the_queue_holds_are_put_as_it_empties(pipelined: Redis, name: str, make: Make) -> None:
    """Many messages go into a small queue in their order, as fast as they are claimed."""
    queue = make(pipelined, name, maxlen=3)
    put = asyncio.create_task(queue.put_many(range(10)))
    found = []
    while len(found) < 10:
        delivery = await queue.claim(timeout=5)
        found.append(delivery.payload)
        await delivery.ack()
    assert found == list(range(10))
    assert len(await put) == 10


async def test_a_message_is_dropped_after_its_ttl(redis: Redis, name: str, make: Make) -> None:
    """What nobody claimed within its ttl is never delivered, and leaves nothing."""
    queue = make(redis, name)
    await queue.put("old", ttl=0.001, dedup="x")
    await queue.put("new")
    await until(queue, lambda stats: (stats.oldest_age or 0) > 0.005)
    assert await drained(queue) == ["new"]
    assert not await redis.exists(f"arp:{{{name}}}:messages")
    assert await queue.put("again", dedup="x")


async def test_what_has_ended_is_not_pending(redis: Redis, name: str, make: Make) -> None:
    """A message whose ttl is over takes no other's place: the like of it is put, and is claimed."""
    queue = make(redis, name)
    first = await queue.put("old", ttl=0.001, dedup="x")
    await until(queue, lambda stats: (stats.oldest_age or 0) > 0.005)
    second = await queue.put("new", dedup="x")
    assert second != first
    assert await queue.put("newer", dedup="x") == second
    assert await drained(queue) == ["new"]
    assert await queue.put("again", dedup="x") not in {first, second}


async def test_what_was_claimed_in_time_is_not_dropped(pipelined: Redis, name: str, make: Make) -> None:
    """A message that was claimed within its ttl is tried again after it, and so is a dead letter that is replayed."""
    queue = make(pipelined, name)
    for ending in ("nack", "reject"):
        id_ = await queue.put(ending, ttl=60)
        delivery = await queue.claim(timeout=0)
        await end_long_ago(pipelined, name, id_)
        assert await (delivery.nack() if ending == "nack" else delivery.reject("no"))
        assert await queue.dead.replay() == (ending == "reject")
        assert await drained(queue) == [ending]


# Leases --------------------------------------------------------------------------------------------------------------


async def test_a_message_whose_lease_ended_is_delivered_again(redis: Redis, name: str, make: Make) -> None:
    """After the lease others get the message first, and who held it is told so by every answer."""
    queue = make(redis, name, visibility=0.05)
    await queue.put_many(["held", "next"])
    held = await queue.claim(timeout=0)
    await until(queue, lambda stats: stats.leased == 0)
    again = await queue.claim(timeout=0)
    assert (again.payload, again.id, again.attempt) == ("held", held.id, 2)
    assert [await held.ack(), await held.nack(), await held.reject("no"), await held.extend()] == [False] * 4
    assert await again.ack()
    assert await drained(queue) == ["next"]


async def test_a_lease_can_be_extended(redis: Redis, name: str, make: Make) -> None:
    """An extended delivery is held past its first lease."""
    queue = make(redis, name, visibility=0.3)
    await queue.put_many([1, 2])
    one, two = await queue.claim_many(2)
    assert await one.extend(20)
    await until(queue, lambda stats: stats.ready == 1)
    assert (await queue.claim(timeout=0)).id == two.id
    assert await one.ack()


async def test_a_block_renews_its_lease(pipelined: Redis, name: str, make: Make) -> None:
    """A block that lasts longer than the lease holds its message all the while, and acknowledges it at the end."""
    queue = make(pipelined, name, visibility=2)
    await queue.put("long")
    async with await queue.claim() as delivery:
        ends = delivery.valid_until + 0.3
        await eventually(lambda: delivery.valid_until > ends)
        assert await queue.claim(timeout=0) is None
    assert await queue.stats() == QueueStats(0, 0, 0, 0, None)


async def test_what_is_held_longer_does_not_keep_others_from_being_renewed(
    pipelined: Redis, name: str, make: Make
) -> None:
    """While one delivery of a client is extended far ahead, its others are renewed as before, and all end."""
    queue = make(pipelined, name, visibility=2)
    await queue.put_many([1, 2])
    one, two = await queue.claim_many(2)
    async with one, two:
        assert await one.extend(60)
        ends = two.valid_until + 0.3
        await eventually(lambda: two.valid_until > ends)
        assert await queue.stats() == QueueStats(0, 0, 2, 0, None)
    assert len(link_of(pipelined).companion(Renewals)) == 0
    await queue.put("never renewed")
    assert await (await queue.claim(timeout=0)).extend(60)
    assert len(link_of(pipelined).companion(Renewals)) == 0


async def test_a_block_that_raises_puts_its_message_back(redis: Redis, name: str, make: Make) -> None:
    """The block's own exception goes on, and the message is at the tail with its attempt charged."""
    queue = make(redis, name)
    await queue.put_many([1, 2])
    with pytest.raises(KeyError):
        async with await queue.claim():
            raise KeyError
    assert [(d.payload, d.attempt) for d in await queue.claim_many(2)] == [(2, 1), (1, 2)]


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
async def test_a_block_that_ends_by_itself_is_charged(
    pipelined: Redis, name: str, make: Make, error: type[BaseException]
) -> None:
    """A block that raises what no handler of exceptions catches has failed, unless a person interrupts it."""
    queue = make(pipelined, name)
    await queue.put(1)
    with pytest.raises(error):
        async with await queue.claim():
            raise error
    assert (await queue.claim(timeout=0)).attempt == (1 if error is KeyboardInterrupt else 2)


async def test_a_cancelled_block_charges_nothing(pipelined: Redis, name: str, make: Make) -> None:
    """A block that was cancelled hands its message back to the front, as if it had not been delivered."""
    queue = make(pipelined, name)
    await queue.put_many([1, 2])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), await queue.claim():
            await asyncio.sleep(5)
    assert [(d.payload, d.attempt) for d in await queue.claim_many(2)] == [(1, 1), (2, 1)]


async def test_cancelled_claims_strand_nothing(pipelined: Redis, name: str, make: Make) -> None:
    """However often claims are cancelled at any moment, every message is still there, with no attempt charged."""
    queue = make(pipelined, name)
    chance = random.Random(6)
    claims = [asyncio.create_task(queue.claim(timeout=5)) for _ in range(1500)]
    puts = [asyncio.create_task(queue.put(number)) for number in range(100)]
    for claim in chance.sample(claims, 1500):
        claim.cancel()
        await asyncio.sleep(chance.choice((0, 0, 0, 0, 0.0005)))
    await asyncio.gather(*puts)
    done = await asyncio.gather(*claims, return_exceptions=True)
    held = [result for result in done if result is not None and not isinstance(result, BaseException)]
    await until(queue, lambda stats: stats.leased == len(held))
    rest = await queue.claim_many(100, timeout=0)
    assert sorted(d.payload for d in [*held, *rest]) == list(range(100))
    assert {d.attempt for d in rest} <= {1}


async def test_lost_replies_lose_nothing(own_server: EmbeddedServer, name: str, make: Make) -> None:
    """With a reply in twenty lost, all that was put is handled, and nothing stays behind."""
    handled: set[int] = set()
    async with (
        FaultProxy(str(own_server.host), int(own_server.port or 0), seed=6) as proxy,
        connect(own_server.url) as sure,
        connect(proxy.url) as redis,
    ):
        await make(sure, name).put_many(range(100))
        proxy.add(Fault("cut_after", is_evalsha, times=None, probability=0.05))
        queue = make(redis, name, visibility=0.3, max_deliveries=100)
        async with asyncio.timeout(15):
            while len(handled) < 100:
                with contextlib.suppress(OutcomeUnknownError):
                    if delivery := await queue.claim(timeout=0.1):
                        handled.add(delivery.payload)
                        await delivery.ack()
        proxy.clear()
        await until(make(sure, name), lambda stats: stats.leased == 0)
        assert set(await drained(make(sure, name, max_deliveries=100))) <= handled
        assert proxy.struck.total() > 3
        assert (await make(sure, name).stats()).dead == 0


def is_evalsha(command: Command) -> bool:
    """Whether this is a script."""
    return command[0] == b"EVALSHA"


async def calls_of(redis: Redis) -> int:
    """How many scripts the server has run by now."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


async def test_acknowledgements_of_one_turn_are_one_call(pipelined: Redis, name: str, make: Make) -> None:
    """Many handlers that end together cost one call, and each is told of its own lease."""
    queue = make(pipelined, name)
    await queue.put_many(range(120))
    held = await queue.claim_many(100)
    await held[7].hand_back()
    before = await calls_of(pipelined)
    answers = await asyncio.gather(*(delivery.ack() for delivery in held))
    assert await calls_of(pipelined) == before + 1
    assert [number for number, answer in enumerate(answers) if not answer] == [7]
    assert await queue.stats() == QueueStats(21, 0, 0, 0, pytest.approx(5, abs=5))


async def test_a_cancelled_acknowledgement_leaves_the_others(pipelined: Redis, name: str, make: Make) -> None:
    """A caller that is cancelled while it acknowledges changes nothing for those of the same call."""
    queue = make(pipelined, name)
    await queue.put_many([1, 2])
    acks = [asyncio.create_task(delivery.ack()) for delivery in await queue.claim_many(2)]
    await asyncio.sleep(0)
    acks[0].cancel()
    assert await acks[1]
    assert await queue.stats() == QueueStats(0, 0, 0, 0, None)


# Dead letters --------------------------------------------------------------------------------------------------------


async def test_a_poison_message_ends_in_the_dead_letters(redis: Redis, name: str, make: Make) -> None:
    """What failed `max_deliveries` times, or ended its consumers as often, is a dead letter with its reason."""
    queue = make(redis, name, visibility=0.02, max_deliveries=2)
    await queue.put_many(["fails", "kills"])
    for _ in range(2):
        fails, kills = await queue.claim_many(2, timeout=2)
        if fails.payload == "kills":
            fails, kills = kills, fails
        await fails.nack(reason="broken")
        await until(queue, lambda stats: stats.leased == 0)
    assert await queue.claim(timeout=0) is None
    letters = {letter.payload: letter for letter in await queue.dead.list()}
    assert {payload: (letter.attempts, letter.reason) for payload, letter in letters.items()} == {
        "fails": (2, "broken"),
        "kills": (2, "its lease ended"),
    }


async def test_dead_letters_are_replayed_or_dropped(redis: Redis, name: str, make: Make) -> None:
    """A replayed letter is delivered as if for the first time; a dropped one is gone with all that was known of it."""
    queue = make(redis, name, max_deliveries=1)
    one, two, _ = await queue.put_many([1, 2, 3])
    for delivery in await queue.claim_many(3):
        assert await delivery.reject("no")
    assert [letter.id for letter in await queue.dead.list(1, 1)] == [two]
    assert await queue.dead.replay(two, "unknown") == 1
    assert await queue.dead.drop(one) == 1
    delivery = await queue.claim(timeout=0)
    assert (delivery.payload, delivery.attempt) == (2, 1)
    assert await delivery.ack()
    assert await queue.dead.replay() == 1
    assert await drained(queue) == [3]
    assert not await redis.exists(f"arp:{{{name}}}:messages", f"arp:{{{name}}}:dead")


async def test_a_replayed_letter_is_pending_again(redis: Redis, name: str, make: Make) -> None:
    """While a replayed letter waits, the like of it is not put; where another is pending, both are handled."""
    queue = make(redis, name)
    first = await queue.put(1, dedup="x")
    assert await (await queue.claim(timeout=0)).reject("no")
    second = await queue.put(2, dedup="x")
    assert await (await queue.claim(timeout=0)).reject("no")
    assert await queue.dead.replay(first) == 1
    assert await queue.put(3, dedup="x") == first
    assert await queue.dead.replay(second) == 1
    assert await queue.put(4, dedup="x") == first
    assert await drained(queue) == [1, 2]
    assert await queue.put(5, dedup="x") not in {first, second}


async def test_what_cannot_be_read_is_a_dead_letter_at_once(redis: Redis, name: str, make: Make) -> None:
    """A payload of another type goes to the dead letters, and the next one is delivered."""
    await make(redis, name).put_many(["text", 5])
    queue = make(redis, name, codec=codec_for(int))
    delivery = await queue.claim(timeout=0)
    assert delivery.payload == 5
    (letter,) = await queue.dead.list()
    assert (letter.payload, letter.body) == (None, b'"text"')
    assert letter.reason.startswith("undecodable")


async def test_nonsense_is_refused(pipelined: Redis, name: str, make: Make) -> None:
    """What makes no sense is refused before anything is sent."""
    queue = make(pipelined, name)
    for nonsense in ({"max_deliveries": 0}, {"visibility": 0}, {"maxlen": 0}):
        with pytest.raises(ValueError, match="must be"):
            make(pipelined, name, **nonsense)
    for typed in ({"max_deliveries": 1.5}, {"max_deliveries": True}, {"maxlen": "9"}, {"maxlen": 1.5}):
        with pytest.raises(TypeError, match="must be an int"):
            make(pipelined, name, **typed)
    for count in (0, 1001):
        with pytest.raises(ValueError, match="count"):
            await queue.claim_many(count)
    for odd in (queue.claim_many(1.5), queue.dead.list(1.5), queue.dead.list(0, "9")):
        with pytest.raises(TypeError, match="must be an int"):
            await odd
    with pytest.raises(ValueError, match="delay"):
        await queue.put(1, delay=-1)
    with pytest.raises(ValueError, match="only with dedup"):
        await queue.put(1, dedup_for=5)
    with pytest.raises(ValueError, match="only with dedup"):
        await queue.put(1, dedup_again=True)
    with pytest.raises(ValueError, match="one of them"):
        await queue.put(1, dedup="x", dedup_for=5, dedup_again=True)
    with pytest.raises(TypeError, match="headers"):
        await queue.put(1, headers={"n": 1})
    with pytest.raises(CodecError):
        await queue.put(object())
    with pytest.raises(ValueError, match="start"):
        await queue.dead.list(-1)
    assert await queue.stats() == QueueStats(0, 0, 0, 0, None)
