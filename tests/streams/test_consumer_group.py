"""ConsumerGroup: each entry is handled by each group, whoever dies, and what cannot be handled is put aside."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns.client import connect
from aioredis_patterns.codecs import codec_for
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.queues import Transaction, Worker
from aioredis_patterns.streams import ConsumerGroup, EventLog, GroupStats
from tests.support.faults import Fault, FaultProxy
from tests.support.full import fill
from tests.support.waiting import eventually


@pytest.fixture
def log(redis: Redis, name: str) -> EventLog[Any]:
    return EventLog(redis, name)


async def drained(group: ConsumerGroup[Any], consumer: str = "worker") -> list[Any]:
    """The payloads of all that can be claimed, each acknowledged."""
    found = []
    while delivery := await group.claim(consumer, timeout=0):
        found.append(delivery.payload)
        assert await delivery.ack()
    return found


async def test_each_group_gets_each_entry(log: EventLog[Any]) -> None:
    """Every group gets every entry in its order, once; consumers of a group share them."""
    await log.append_many(range(20))
    one, two = ConsumerGroup(log, "one"), ConsumerGroup(log, "two {x}\n")
    delivery = await one.claim("a", timeout=0)
    assert delivery is not None
    assert (delivery.payload, delivery.attempt, delivery.id) == (0, 1, delivery.entry.id)
    assert await drained(one, "b") == list(range(1, 20))
    assert await delivery.ack()
    assert not await delivery.ack()
    assert await drained(two) == list(range(20))
    assert await one.stats() == GroupStats(0, 0, 0, None)


@pytest.mark.parametrize(("start", "expected"), [("0", [1, 2, 3]), ("$", [3]), ("time", [3])])
async def test_where_a_group_begins(log: EventLog[Any], start: Any, expected: list[int]) -> None:
    """A group begins at the start, at the end, at an id or at a time, and later goes on where it was."""
    await log.append_many([1, 2])
    group = ConsumerGroup(log, "g", start=datetime.now(UTC) + timedelta(hours=1) if start == "time" else start)
    if start == "time":
        group = ConsumerGroup(log, "g", start=(await log.range())[1].id)
    assert await group.claim("x", timeout=0) is None or start == "0"
    await log.append(3)
    group = ConsumerGroup(log, "g", start="0", visibility=0.05)
    seen: list[Any] = []

    async def all_seen() -> bool:
        seen.extend(await drained(group))
        return sorted(seen) == expected

    await eventually(all_seen)


async def test_a_waiting_consumer_is_woken(redis: Redis, log: EventLog[Any]) -> None:
    """Who waits for an entry gets it when it is appended, and None when his time is over."""
    group = ConsumerGroup(log, "g")
    assert await group.claim("w", timeout=0.05) is None
    waiting = asyncio.create_task(group.claim("w", timeout=20))
    waiters = f"arp:{{{log.name}|0}}:waiters"
    await eventually(lambda: redis.zcard(waiters))
    began = asyncio.get_running_loop().time()
    await log.append("new")
    delivery = await waiting
    assert delivery is not None
    assert delivery.payload == "new"
    assert asyncio.get_running_loop().time() - began < 1


async def test_what_was_given_back_comes_again(log: EventLog[Any]) -> None:
    """An entry that was given back comes again after its delay, its attempt counted; one handed back, uncounted."""
    group = ConsumerGroup(log, "g")
    await log.append("x")
    first = await group.claim("a", timeout=0)
    assert first is not None
    assert await first.nack(delay=0.2)
    assert not await first.ack()
    assert await group.claim("b", timeout=0) is None
    second = await group.claim("b", timeout=5)
    assert second is not None
    assert second.attempt == 2
    assert await second.hand_back()
    third = await group.claim("c", timeout=0)
    assert third is not None
    assert third.attempt == 2
    assert await third.extend(60)
    assert not await second.extend()
    assert await third.ack()


async def test_what_was_given_back_comes_when_it_is_due(pipelined: Redis, name: str) -> None:
    """Who waits for an entry that was given back for a while gets it at that time, before he would look himself."""
    log: EventLog[str] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g")
    await log.append_many("xy")
    one, two = await group.claim_many(2, "a", timeout=0)
    times = [await pipelined.time()]
    assert await two.nack(delay=1000)
    times.append(await pipelined.time())
    ((_, due),) = await pipelined.zrange(f"arp:{{{name}|0}}:later:g", 0, -1, withscores=True)
    earliest, latest = [(seconds + 1000) * 1_000_000 + micros for seconds, micros in times]
    assert earliest <= due <= latest
    assert await one.nack(delay=0.2)
    again = await group.claim("b", timeout=1.5)
    assert again is not None
    assert again.payload == "x"


async def test_held_for_less_than_before(pipelined: Redis, name: str) -> None:
    """The newest word on how long an entry is held counts, also for a shorter time; the usual one leaves no mark."""
    log: EventLog[str] = EventLog(pipelined, name)
    group, later = ConsumerGroup(log, "g", visibility=0.2), f"arp:{{{name}|0}}:later:g"
    await log.append("x")
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    assert await delivery.extend(3600)
    assert await delivery.extend()
    assert await pipelined.exists(later) == 0
    assert await delivery.extend(3600)
    assert await delivery.extend(0.1)
    assert await group.claim("b", timeout=3) is not None


async def test_what_was_handed_back_goes_to_who_waits(redis: Redis, log: EventLog[Any]) -> None:
    """A delivery that was not begun is another consumer's at once, its attempt is not counted, and no mark is left."""
    await log.append("only")
    group = ConsumerGroup(log, "g", visibility=3600)
    later = f"arp:{{{log.name}|0}}:later:g"
    first = await group.claim("a", timeout=0)
    assert first is not None
    assert await first.hand_back()
    assert 0 < await redis.pttl(later) <= 3_600_000
    second = await group.claim("b", timeout=0)
    assert second is not None
    assert not await first.hand_back()
    assert await redis.exists(later) == 0
    waiting = asyncio.create_task(group.claim("c", timeout=60))
    await eventually(lambda: redis.zcard(f"arp:{{{log.name}|0}}:waiters"))
    async with asyncio.timeout(3):  # after 4 it would look for itself
        assert await second.hand_back()
        third = await waiting
    assert third is not None
    assert (third.payload, third.attempt) == ("only", 1)
    assert await third.extend(7200)
    assert await redis.zcard(later) == 1
    assert await third.ack()
    assert await redis.exists(later) == 0


async def test_one_letter_that_is_replayed_goes_to_who_waits(redis: Redis, log: EventLog[Any]) -> None:
    """A dead letter that may be tried again is delivered at once, and its mark has an expiry."""
    group = ConsumerGroup(log, "g")
    await log.append("x")
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    await delivery.reject("not yet")
    waiting = asyncio.create_task(group.claim("b", timeout=60))
    await eventually(lambda: redis.zcard(f"arp:{{{log.name}|0}}:waiters"))
    async with asyncio.timeout(3):  # after 4 it would look for itself
        assert await group.dead.replay() == 1
        again = await waiting
    assert again is not None
    assert again.payload == "x"
    await again.reject("not yet")
    assert await group.dead.replay() == 1
    assert 0 < await redis.pttl(f"arp:{{{log.name}|0}}:later:g") <= 3_600_000


async def test_who_waits_does_not_ask_and_ask(pipelined: Redis, name: str) -> None:
    """A consumer sleeps until the next entry may be claimed, however far that is."""
    log: EventLog[str] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g")
    await log.append("x")
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    assert await delivery.nack(delay=60)
    before = await _scripts(pipelined)
    assert await group.claim("a", timeout=0.3) is None
    assert await _scripts(pipelined) - before <= 4


async def _scripts(redis: Redis) -> int:
    return await _calls(redis, "evalsha")


async def _calls(redis: Redis, command: str) -> int:
    return int((await redis.info("commandstats"))[f"cmdstat_{command}"]["calls"])


async def test_a_dead_consumer(log: EventLog[Any]) -> None:
    """What a consumer held that died is delivered to another when its time is over, and the first one is told."""
    group = ConsumerGroup(log, "g", visibility=1)
    await log.append_many(range(3))
    dead = await group.claim_many(3, "dead")
    assert await group.claim("other", timeout=0) is None
    again = [await group.claim("other", timeout=5) for _ in range(3)]
    assert [(each.payload, each.attempt) for each in again if each] == [(0, 2), (1, 2), (2, 2)]
    assert [await dead[0].ack(), await dead[1].nack(), await dead[2].reject("no")] == [False] * 3
    assert [await each.ack() for each in again if each] == [True] * 3


@pytest.mark.parametrize("before", [1, 250])
async def test_a_dead_consumer_is_found_behind_what_waits(pipelined: Redis, name: str, before: int) -> None:
    """However many entries were given back for later, what a dead consumer holds behind them is delivered in time."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g", visibility=0.2)
    await log.append_many(range(before + 2))
    held = await group.claim_many(before + 2, "dead", timeout=0)
    assert await asyncio.gather(*[each.nack(delay=3600) for each in held[:before]]) == [True] * before
    again = [await group.claim("other", timeout=5) for _ in range(2)]
    assert [each.payload for each in again if each] == [before, before + 1]


async def test_the_dead_are_looked_for_again_from_the_start(pipelined: Redis, name: str) -> None:
    """What a consumer still had when the others' entries were looked through is found when it has died."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g", visibility=1)
    await log.append_many(range(151))
    held = await group.claim_many(151, "dies", timeout=0)
    await asyncio.gather(*[each.nack(delay=3600) for each in held[1:]])
    again = await group.claim("other", timeout=0) or await group.claim("other", timeout=0)  # a hundred in each
    again = again or await group.claim("other", timeout=5)
    assert again is not None
    assert again.payload == 0


async def test_the_dead_are_looked_for_every_second(pipelined: Redis, name: str) -> None:
    """However long an entry may be held, consumers that died are looked for again a second later, and not before."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g", visibility=3600)
    await log.append(1)
    assert await group.claim("a", timeout=0) is not None
    times = [await pipelined.time()]
    assert await group.claim("b", timeout=0) is None
    times.append(await pipelined.time())
    again = int(await pipelined.hget(f"arp:{{{name}|0}}:state:g", "next") or 0)
    earliest, latest = [(seconds + 1) * 1_000_000 + micros for seconds, micros in times]
    assert earliest <= again <= latest
    before = await _calls(pipelined, "xpending")
    for _ in range(5):
        assert await group.claim("b", timeout=0) is None
    assert await _calls(pipelined, "xpending") - before < 10


async def test_old_and_new_together_are_as_many_as_were_asked_for(pipelined: Redis, name: str) -> None:
    """A claim that finds entries given back and new ones gives no more of both than was said."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g")
    await log.append_many(range(6))
    for delivery in await group.claim_many(2, "a", timeout=0):
        await delivery.nack()
    assert [each.payload for each in await group.claim_many(3, "b", timeout=0)] == [0, 1, 2]


async def test_who_lost_an_entry_is_told_by_the_renewal(pipelined: Redis, name: str) -> None:
    """A handler whose entry another has meanwhile learns of it while it runs; one of another entry goes on."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g", visibility=2)
    await log.append_many(range(2))
    lost, kept = await group.claim_many(2, "a", timeout=0)
    async with kept:
        lost.keep()
        await pipelined.xclaim(f"arp:{{{name}|0}}:log", "g", "other", 0, [lost.id])
        await eventually(lambda: lost.lost)
        ends = kept.valid_until + 0.1
        await eventually(lambda: kept.valid_until > ends)
        assert not kept.lost


@pytest.mark.parametrize("end", ["ack", "reject", "commit"])
async def test_nothing_is_left_of_what_was_held_longer(pipelined: Redis, name: str, end: str) -> None:
    """An entry that is held longer waits for nothing any more when it has ended, however it did."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g")
    await log.append(1)
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    assert await delivery.extend(3600)
    ends = {"ack": delivery.ack, "reject": lambda: delivery.reject("no"), "commit": Transaction(delivery).commit}
    assert await ends[end]()
    assert await pipelined.exists(f"arp:{{{name}|0}}:later:g") == 0


@pytest.mark.parametrize("end", ["ack", "commit"])
async def test_who_waits_for_the_next_of_a_partition_is_told(pipelined: Redis, name: str, end: str) -> None:
    """In a log with partitions the end of an entry wakes who waits for the next, who asks no more often than that."""
    log: EventLog[int] = EventLog(pipelined, name, partitions=2)
    group = ConsumerGroup(log, "g", visibility=60)
    await log.append_many(range(2), key="same")
    first = await group.claim("a", timeout=0)
    assert first is not None
    before = await _scripts(pipelined)
    waiting = asyncio.create_task(group.claim("b", timeout=60))
    await eventually(lambda: pipelined.zcard(f"arp:{{{name}|{first.entry.partition}}}:waiters"))
    await asyncio.wait([waiting], timeout=0.2)
    assert await _scripts(pipelined) - before <= 4
    async with asyncio.timeout(1.5):  # after 2 it would look for itself
        assert await (first.ack() if end == "ack" else Transaction(first).commit())
        second = await waiting
    assert second is not None
    assert second.payload == 1


@pytest.mark.parametrize("first", ["held", "put off"])
async def test_behind_the_first_of_a_partition_nobody_asks_in_haste(pipelined: Redis, name: str, first: str) -> None:
    """While the first of several that are delivered again is not done with, who waits does not ask for the others."""
    log: EventLog[int] = EventLog(pipelined, name, partitions=2)
    group = ConsumerGroup(log, "g", visibility=60, max_deliveries=2)
    await log.append_many(range(2), key="same")
    for _ in range(2):
        delivery = await group.claim("a", timeout=0)
        assert delivery is not None
        assert await delivery.reject("no")
    assert await group.dead.replay() == 2
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    assert first == "held" or await delivery.nack(delay=60)
    before = await _scripts(pipelined)
    assert await group.claim("b", timeout=0.3) is None
    assert await _scripts(pipelined) - before <= 8


async def test_one_after_another_is_buried(pipelined: Redis, name: str) -> None:
    """In a partition, what ends as a dead letter holds up the next entry no longer than the claim takes."""
    log: EventLog[int] = EventLog(pipelined, name, partitions=2)
    group = ConsumerGroup(log, "g", visibility=1.5, max_deliveries=1)
    await log.append_many(range(2), key="same")
    dead = await group.claim("dead", timeout=0)
    assert dead is not None
    stream = f"arp:{{{name}|{dead.entry.partition}}}:log"

    async def its_time_is_over() -> bool:
        return bool(await pipelined.xpending_range(stream, "g", "-", "+", 1, idle=1500))

    await eventually(its_time_is_over)
    again = await group.claim("other", timeout=1)
    assert again is not None
    assert again.payload == 1


@pytest.mark.parametrize("after", ["nack", "hand_back", "extend", "replay"])
async def test_what_waits_longest_is_waited_for(pipelined: Redis, name: str, after: str) -> None:
    """Whatever else is put off for a shorter time, what waits for hours is remembered for as long."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g", visibility=0.01)
    await log.append_many(range(2))
    one, two = await group.claim_many(2, "a", timeout=0)
    assert await one.nack(delay=20_000)
    if after == "replay":
        await two.reject("no")
        await group.dead.replay()
    else:
        await getattr(two, after)(*[1][: after == "extend"])
    assert await pipelined.pttl(f"arp:{{{name}|0}}:later:g") > 20_000_000


async def test_a_long_handler_keeps_its_entry(log: EventLog[Any]) -> None:
    """A handler that takes longer than the visibility keeps its entry, at its first attempt."""
    group = ConsumerGroup(log, "g", visibility=1)
    await log.append("x")
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    async with delivery:
        assert await group.claim("b", timeout=1.5) is None
        assert not delivery.lost
    assert await group.stats() == GroupStats(0, 0, 0, None)


async def test_held_longer_than_others(pipelined: Redis, name: str) -> None:
    """While one delivery of a client is extended far ahead, its others are renewed as before."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g", visibility=2)
    await log.append_many([1, 2])
    one, two = await group.claim_many(2, "a", timeout=0)
    async with one, two:
        assert await one.extend(60)
        ends = two.valid_until + 0.3
        await eventually(lambda: two.valid_until > ends)
        assert await group.claim("b", timeout=0) is None


async def test_entries_of_one_id(pipelined: Redis, name: str) -> None:
    """Entries that have one id, in two partitions, are each renewed for as long as they are held."""
    log: EventLog[int] = EventLog(pipelined, name, partitions=2)
    group = ConsumerGroup(log, "g", visibility=2)
    for partition in range(2):
        await pipelined.xadd(f"arp:{{{name}|{partition}}}:log", {"payload": "1"}, "5-0")
    held = await group.claim_many(2, "a", timeout=0)
    one, two = held
    async with one, two:
        ends = [delivery.valid_until + 0.3 for delivery in held]
        await eventually(lambda: all(each.valid_until > end for each, end in zip(held, ends, strict=True)))
        assert await group.claim_many(2, "b", timeout=0) == []


async def test_held_longer(log: EventLog[Any]) -> None:
    """An entry that is held for longer than the visibility comes again when that time is over."""
    group = ConsumerGroup(log, "g", visibility=0.1)
    await log.append("x")
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    assert await delivery.extend(1.5)
    assert await group.claim("b", timeout=0.3) is None
    assert await group.claim("b", timeout=5) is not None


async def test_poison(log: EventLog[Any]) -> None:
    """What fails too often, is rejected, or kills its consumers becomes a dead letter, and can be tried again."""
    group = ConsumerGroup(log, "g", visibility=0.05, max_deliveries=2)
    ids = await log.append_many(["fails", "rejected", "kills"])
    while delivery := await group.claim("w", timeout=1):
        if delivery.payload == "fails":
            with contextlib.suppress(ZeroDivisionError):
                async with delivery:
                    raise ZeroDivisionError("zero")
        elif delivery.payload == "rejected":
            assert await delivery.reject("no such address")
    letters = {letter.payload: letter for letter in await group.dead.list()}
    assert {payload: (each.reason, each.attempts) for payload, each in letters.items()} == {
        "fails": ("ZeroDivisionError: zero", 2),
        "rejected": ("no such address", 1),
        "kills": ("delivered 2 times", 2),
    }
    assert [letters[payload].entry_id for payload in ("fails", "rejected", "kills")] == ids
    assert await group.dead.drop(letters["kills"].id) == 1
    assert await group.dead.replay(letters["fails"].id) == 1
    assert await group.dead.replay() == 1
    again = await group.claim_many(5, "w", timeout=0)
    assert {(each.payload, each.attempt) for each in again} == {("fails", 1), ("rejected", 1)}
    assert await group.dead.list() == []


async def test_undecodable_entries(redis: Redis, name: str) -> None:
    """What cannot be read is a dead letter at once, and does not hold up the others."""
    log: EventLog[int] = EventLog(redis, name, codec=codec_for(int))
    await log.append(1)
    await redis.xadd(f"arp:{{{name}|0}}:log", {"payload": b'"text"'})
    await redis.xadd(f"arp:{{{name}|0}}:log", {"other": b"x"})
    damaged = (b"5", b"{", b"[" * 100_000, b'{"a": 1}')
    for headers in damaged:
        await redis.xadd(f"arp:{{{name}|0}}:log", {"payload": b"3", "headers": headers})
    await log.append(2)
    group = ConsumerGroup(log, "g")
    assert await drained(group) == [1, 2]
    letters = await group.dead.list()
    assert [(letter.body, letter.attempts, letter.payload) for letter in letters] == [
        (b'"text"', 1, None),
        (b"", 1, None),
        *[(b"3", 1, 3) for _ in damaged],
    ]
    assert all(letter.reason.startswith("undecodable") for letter in letters)


async def test_entries_trimmed_under_a_consumer(log: EventLog[Any]) -> None:
    """An entry that was trimmed while it was in hand is not delivered again, and holds up nothing."""
    group = ConsumerGroup(log, "g", visibility=0.05)
    await log.append_many(range(3))
    held = await group.claim_many(3, "dead")
    await log.trim(maxlen=1)
    assert await group.dead.replay() == 0
    again = await group.claim("w", timeout=5)
    assert again is not None
    assert again.payload == 2
    assert await again.ack()
    await eventually(lambda: _nothing_pending(group))
    assert not await held[0].ack()


async def test_a_letter_whose_entry_was_trimmed(log: EventLog[Any]) -> None:
    """A dead letter whose entry is in the log no more stays what it is, and so does what is none."""
    group = ConsumerGroup(log, "g")
    await log.append_many(range(2))
    for delivery in await group.claim_many(2, "w", timeout=0):
        assert await delivery.reject("no")
    await log.trim(maxlen=1)
    assert await group.dead.replay("1-1") == 0
    assert await group.dead.replay() == 1
    assert [(letter.payload, letter.reason) for letter in await group.dead.list()] == [(0, "no")]
    assert await drained(group) == [1]


async def _nothing_pending(group: ConsumerGroup[Any]) -> bool:
    await group.claim("w", timeout=0)
    return (await group.stats()).pending == 0


async def test_a_group_that_was_flushed_heals(redis: Redis, log: EventLog[Any]) -> None:
    """A group that a flush took away is made anew, and misses nothing of the new log."""
    group = ConsumerGroup(log, "g", start="$")
    assert await group.claim("w", timeout=0) is None
    waiting = asyncio.create_task(group.claim("w", timeout=20))
    await eventually(lambda: redis.zcard(f"arp:{{{log.name}|0}}:waiters"))
    await redis.delete(f"arp:{{{log.name}|0}}:log")
    assert await group.claim("w", timeout=0) is None
    await log.append("new")
    delivery = await waiting
    assert delivery is not None
    assert delivery.payload == "new"


async def test_consumers_that_are_gone(redis: Redis, log: EventLog[Any]) -> None:
    """A consumer that holds nothing is forgotten after a while, one that holds something is not, and loses nothing."""
    group = ConsumerGroup(log, "g", visibility=0.1)
    await log.append_many(range(2))
    for consumer in ("done", "holds"):
        delivery = await group.claim(consumer, timeout=0)
        assert delivery is not None
        if consumer == "done":
            await delivery.ack()
    assert await group.reap(idle=60) == 0
    stream = f"arp:{{{log.name}|0}}:log"
    assert len(await redis.xinfo_consumers(stream, "g")) == 2

    async def reaped() -> bool:
        return await group.reap(idle=0.001) == 1

    await eventually(reaped)
    assert len(await redis.xinfo_consumers(stream, "g")) == 1
    again = await group.claim("renamed", timeout=5)
    assert again is not None
    assert again.payload == 1


@pytest.mark.parametrize("by", ["worker", "deliveries"])
async def test_consumers_that_are_gone_are_forgotten_without_being_asked(url: str, name: str, by: str) -> None:
    """Whoever goes on claiming, a worker too, forgets consumers that are gone; else each process left one for ever."""
    scripts = list[str]()

    def note(event: Any) -> None:
        scripts.append(event.script)

    async with connect(url, on_event=note) as redis:
        group: ConsumerGroup[str] = ConsumerGroup(EventLog(redis, name), "g")
        await group.claim("w", timeout=0)

        async def handle() -> None:
            async for delivery in group.deliveries("w"):
                await delivery.ack()

        async with Worker(group.consumer("w"), print) if by == "worker" else contextlib.nullcontext():
            handling = asyncio.create_task(handle() if by == "deliveries" else asyncio.sleep(0))
            await eventually(lambda: scripts.count("group_reap") == 1)
            handling.cancel()


async def test_one_at_a_time(pipelined: Redis, name: str) -> None:
    """A partition gives an entry when the one before it is done with, and not to another consumer meanwhile."""
    log: EventLog[int] = EventLog(pipelined, name, partitions=2)
    group = ConsumerGroup(log, "g")
    await log.append_many([0, 1], key="same")
    first = await group.claim("a", timeout=0)
    assert first is not None
    assert await group.claim("b", timeout=0) is None
    assert await first.ack()
    second = await group.claim("b", timeout=0)
    assert second is not None
    assert [first.payload, second.payload] == [0, 1]


async def test_held_as_long_as_was_said(redis: Redis, log: EventLog[Any]) -> None:
    """A delivery that is to be held for less than the group's time is held for that."""
    group = ConsumerGroup(log, "g", visibility=60)
    await log.append("x")
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    assert await delivery.extend(30)
    assert await group.claim("b", timeout=0) is None
    ((_, _, idle, _),) = [
        tuple(pending.values()) for pending in await redis.xpending_range(f"arp:{{{log.name}|0}}:log", "g", "-", "+", 1)
    ]
    assert 30_000 <= idle < 60_000
    assert await delivery.ack()


async def test_order_within_a_partition(pipelined: Redis, name: str) -> None:
    """Each partition of a log gives one entry at a time, also when its handler fails, so keys keep their order."""
    log: EventLog[int] = EventLog(pipelined, name, partitions=3)
    group, rng = ConsumerGroup(log, "g", visibility=5, max_deliveries=100), random.Random(3)
    seen: list[tuple[str | None, int]] = []
    active: set[int] = set()

    async def work(consumer: str) -> None:
        async for delivery in group.deliveries(consumer):
            with contextlib.suppress(ArithmeticError):
                async with delivery:
                    assert delivery.entry.partition not in active
                    active.add(delivery.entry.partition)
                    await asyncio.sleep(rng.random() * 0.002)
                    active.discard(delivery.entry.partition)
                    if rng.random() < 0.3:
                        raise ArithmeticError
                    seen.append((delivery.entry.key, delivery.payload))

    workers = [asyncio.create_task(work(f"w{number}")) for number in range(5)]
    for number in range(60):
        await log.append(number, key=number % 7)
    await eventually(lambda: len(seen) == 60, timeout=20)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    for key in range(7):
        assert [number for each, number in seen if each == str(key)] == list(range(key, 60, 7))


async def test_cancelled_claims_lose_nothing(pipelined: Redis, name: str) -> None:
    """Whenever claims are cancelled, what they got is delivered to others, at its first attempt."""
    log: EventLog[int] = EventLog(pipelined, name)
    group, rng, found = ConsumerGroup(log, "g"), random.Random(1), []
    await log.append_many(range(100))
    for number in range(300):
        claim = asyncio.create_task(group.claim(f"w{number % 3}", timeout=0))
        for _ in range(rng.randrange(30)):
            await asyncio.sleep(0)
        claim.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            if delivery := await claim:
                found.append((delivery.payload, delivery.attempt))
                await delivery.ack()

    async def all_found() -> bool:
        while delivery := await group.claim("last", timeout=0):
            found.append((delivery.payload, delivery.attempt))
            await delivery.ack()
        return len(found) == 100

    await eventually(all_found)
    assert sorted(found) == [(number, 1) for number in range(100)]


@pytest.fixture
async def proxied(server: EmbeddedServer) -> AsyncIterator[tuple[FaultProxy, Redis]]:
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        yield proxy, redis


async def test_lost_replies(proxied: tuple[FaultProxy, Redis], name: str) -> None:
    """A claim whose reply was lost strands nothing, and an end whose reply was lost has happened."""
    proxy, redis = proxied
    log: EventLog[int] = EventLog(redis, name)
    group = ConsumerGroup(log, "g")
    await log.append_many(range(3))
    await group.claim("w", timeout=0)
    proxy.add(Fault("cut_after", "EVALSHA"))
    with pytest.raises(OutcomeUnknownError):
        await group.claim("w", timeout=0)
    again = await group.claim("w", timeout=5)
    assert again is not None
    assert again.attempt == 1
    proxy.add(Fault("cut_after", "EVALSHA"))
    assert await again.ack()
    other = await group.claim("w", timeout=5)
    assert other is not None
    proxy.add(Fault("cut_after", "EVALSHA"))
    assert await other.reject("no")
    assert {again.payload, other.payload} == {1, 2}
    assert len(await group.dead.list()) == 1


async def test_a_block_that_ends_badly(log: EventLog[Any]) -> None:
    """What a block raises goes on; a cancelled one hands its entry back uncharged, and one that said so stays ended."""
    group = ConsumerGroup(log, "g")
    await log.append("x")
    delivery = await group.claim("w", timeout=0)
    assert delivery is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), delivery:
            await asyncio.sleep(10)
    delivery = await group.claim("w", timeout=5)
    assert delivery is not None
    assert delivery.attempt == 1
    async with delivery:
        assert await delivery.nack()
    delivery = await group.claim("w", timeout=5)
    assert delivery is not None
    assert delivery.attempt == 2


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
async def test_a_block_that_ends_by_itself(pipelined: Redis, name: str, error: type[BaseException]) -> None:
    """A block that raises what no handler of exceptions catches has failed, unless a person interrupts it."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g")
    await log.append(1)
    delivery = await group.claim("w", timeout=0)
    assert delivery is not None
    with pytest.raises(error):
        async with delivery:
            raise error
    again = await group.claim("w", timeout=0)
    assert again is not None
    assert again.attempt == (1 if error is KeyboardInterrupt else 2)


REFUSED: list[dict[str, Any]] = [
    *({"visibility": value} for value in (0, -1, float("nan"), float("inf"), None)),
    *({"max_deliveries": value} for value in (0, -1, 1.5, True)),
    *({"start": value} for value in ("", "x", "+", "-")),
    {"name": ""},
    {"unknown": 1},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
async def test_a_group_that_cannot_work_is_refused(log: EventLog[Any], options: dict[str, Any]) -> None:
    """A group whose arguments make no sense is refused when it is made."""
    with pytest.raises((ValueError, TypeError)):
        ConsumerGroup(log, **{"name": "g"} | options)


async def test_calls_that_cannot_work_are_refused(log: EventLog[Any]) -> None:
    """A count or an id that is none is refused before anything is sent."""
    group = ConsumerGroup(log, "g")
    for count in (0, 1001, 1.5, True):
        with pytest.raises((ValueError, TypeError), match="count must be"):
            await group.claim_many(count, "w", timeout=0)  # type: ignore[arg-type]
    for count in (0, -1, 1.5):
        with pytest.raises((ValueError, TypeError), match="count must be"):
            await group.dead.list(count=count)  # type: ignore[arg-type]
    for call in (group.dead.replay, group.dead.drop):
        with pytest.raises(ValueError, match="an id must be"):
            await call("1-0", "none")


async def test_no_key_is_left_without_a_reason(redis: Redis, log: EventLog[Any]) -> None:
    """Beside the log and its dead letters every key of a group has an expiry."""
    group = ConsumerGroup(log, "g", max_deliveries=2)
    await log.append_many(range(4))
    for number, delivery in enumerate(await group.claim_many(4, "w", timeout=0)):
        await [delivery.ack, delivery.nack, delivery.extend, lambda each=delivery: each.reject("no")][number]()
    assert await group.claim("w", timeout=0.01) is not None
    keys = [str(key) async for key in redis.scan_iter(f"arp:{{{log.name}|*", count=1000) if await redis.pttl(key) < 0]
    assert sorted(key.partition("}:")[2].strip("'") for key in keys) == ["dead:g", "log"]


async def test_a_worker_of_a_group(redis: Redis, log: EventLog[Any]) -> None:
    """A worker handles a group's entries, tries again what failed, and buries what fails too often."""
    group, handled = ConsumerGroup(log, "g", max_deliveries=3), list[Any]()

    async def handle(event: Any, delivery: Any) -> None:
        if event == "poison" or (event == "late" and delivery.attempt == 1):
            raise ValueError(event)
        handled.append(event)

    await log.append_many(["a", "poison", "late", "b"])
    async with Worker(group.consumer("worker-1"), handle, concurrency=2, backoff=0):
        await eventually(lambda: _is_done(group))
    assert sorted(handled) == ["a", "b", "late"]
    assert [(letter.payload, letter.attempts, letter.reason) for letter in await group.dead.list()] == [
        ("poison", 3, "ValueError: poison")
    ]


async def _is_done(group: ConsumerGroup[Any]) -> bool:
    stats = await group.stats()
    return stats.lag == stats.pending == 0


async def test_the_age_of_what_is_not_done_with(pipelined: Redis, name: str) -> None:
    """A group's age is that of its oldest entry in hand, and else of the oldest that was not delivered."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g")
    seconds, _ = await pipelined.time()
    for number, age in enumerate((700, 500)):
        await pipelined.xadd(f"arp:{{{name}|0}}:log", {"payload": str(number)}, f"{(seconds - age) * 1000}-0")
    ages = [(await group.stats()).oldest_age]
    delivery = await group.claim("w", timeout=0)
    assert delivery is not None
    ages.append((await group.stats()).oldest_age)
    assert await delivery.ack()
    ages.append((await group.stats()).oldest_age)
    assert [age and round(age, -2) for age in ages] == [700, 700, 500]


async def test_what_was_appended_before_a_clock_stepped_back_has_an_age(pipelined: Redis, name: str) -> None:
    """An entry whose time is still to come, since the server's clock was set back, is as old as one appended now."""
    log: EventLog[int] = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g")
    seconds, _ = await pipelined.time()
    await pipelined.xadd(f"arp:{{{name}|0}}:log", {"payload": "1"}, f"{(seconds + 3600) * 1000}-0")
    assert await group.stats() == GroupStats(1, 0, 0, 0.0)


async def test_what_was_read_is_not_counted_again(redis: Redis, log: EventLog[Any]) -> None:
    """Where a failover has set the server's count of what was read back, a group that has read all still lacks none."""
    group = ConsumerGroup(log, "billing")
    await log.append_many("abc")
    assert await drained(group) == ["a", "b", "c"]
    with contextlib.suppress(ResponseError):  # before Redis 7 there is no such count
        await redis.execute_command("XGROUP", "SETID", log._key("log", 0), "billing", "$", "ENTRIESREAD", 0)
    assert (await group.stats()).lag == 0
    await log.append("d")
    assert (await group.stats()).lag > 0


async def test_writes_that_count_once(redis: Redis, log: EventLog[Any]) -> None:
    """What a handler writes in a transaction is written with the acknowledgement, or not; a failing one is buried."""
    group, key = ConsumerGroup(log, "g", visibility=0.1), f"{{{log.name}|0}}:sum"
    await log.append_many(["rejected", 1, 2, "text"])
    rejected, overtaken = await group.claim_many(2, "slow", timeout=0)
    assert await rejected.reject("no")
    again = await group.claim_many(3, "w", timeout=0)
    while len(again) < 3:
        again += await group.claim_many(3, "w", timeout=5)
    for delivery in [overtaken, *again]:
        with contextlib.suppress(ResponseError):
            async with Transaction(delivery) as transaction:
                transaction.write("INCRBY", key, delivery.payload)
                transaction.write("EXPIRE", key, 60)
    assert overtaken.lost
    assert 0 < await redis.ttl(key) <= 60
    assert int(await redis.get(key)) == 3
    _, letter = await group.dead.list()
    assert (letter.payload, "not an integer" in letter.reason) == ("text", True)
    assert (await group.stats()).pending == 0
    with pytest.raises(ValueError, match="hash tag"):
        Transaction(overtaken).write("INCR", "elsewhere")
    await redis.delete(key)


@pytest.mark.parametrize("most", [1, 2])
async def test_what_others_buried_is_no_failed_command(pipelined: Redis, name: str, most: int) -> None:
    """Who lost an entry is told so, also when it is a dead letter by now: by its time, or by another."""
    log: EventLog[int] = EventLog(pipelined, name)
    group, key = ConsumerGroup(log, "g", visibility=0.05, max_deliveries=most), f"{{{name}|0}}:count"
    await log.append(1)
    delivery = await group.claim("a", timeout=0)
    assert delivery is not None
    if other := await group.claim("b", timeout=1):
        await other.reject("no such address")
    assert len(await group.dead.list()) == 1
    transaction = Transaction(delivery)
    transaction.write("INCR", key)
    assert await transaction.commit() is False
    assert await pipelined.exists(key) == 0


async def test_a_transaction_whose_reply_was_lost(proxied: tuple[FaultProxy, Redis], name: str) -> None:
    """A transaction whose reply was lost has written once, and one that failed is told to have failed."""
    proxy, redis = proxied
    log: EventLog[Any] = EventLog(redis, name)
    group, key = ConsumerGroup(log, "g"), f"{{{name}|0}}:sum"
    await log.append_many([1, "text"])
    first, second = await group.claim_many(2, "w", timeout=0)
    for delivery, error in ((first, None), (second, ResponseError)):
        proxy.add(Fault("cut_after", "EVALSHA"))
        transaction = Transaction(delivery)
        transaction.write("INCRBY", key, delivery.payload)
        with pytest.raises(error) if error else contextlib.nullcontext():
            assert await transaction.commit()
    assert await redis.getdel(key) == b"1"


async def test_what_a_look_for_the_dead_remembers_ends(pipelined: Redis, name: str) -> None:
    """A group that nobody uses any more leaves its log and what is pending, and nothing else."""
    log = EventLog(pipelined, name)
    group = ConsumerGroup(log, "g", start="0")
    await log.append(1)
    assert await group.claim("one", timeout=0)
    assert await group.claim("two", timeout=0) is None
    lives = {key: await pipelined.pttl(key) async for key in pipelined.scan_iter(match=f"arp:{{{name}*")}
    [stays] = [key for key, life in lives.items() if life == -1]
    assert stays.endswith(b":log")
    assert len(lives) > 1
    assert all(0 < life <= 60_000 for key, life in lives.items() if key != stays)


async def test_a_full_server_is_worked_off(own_server: EmbeddedServer, name: str) -> None:
    """When Redis is out of memory entries are claimed, held longer, given back and acknowledged."""
    async with connect(own_server.url) as redis:
        log = EventLog(redis, name)
        group = ConsumerGroup(log, "g", start="0")
        await log.append_many([1, 2])
        first = await group.claim("one", timeout=0)
        await fill(redis)
        second = await group.claim("one", timeout=0)
        assert (first.payload, second.payload) == (1, 2)
        assert await first.extend(60)
        assert await second.nack(delay=0)
        again = await group.claim("two", timeout=0)
        assert (again.payload, again.attempt) == (2, 2)
        assert await again.ack()
        assert await first.ack()
        assert (await group.stats()).pending == 0
