"""EventLog: what was appended is read by everybody, in its order, and once where its producer says so."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.codecs import codec_for
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import CodecError, OutcomeUnknownError
from aioredis_patterns.streams import ConsumerGroup, EventLog
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually


async def payloads(log: EventLog[Any], **bounds: Any) -> list[Any]:
    return [entry.payload async for entry in log.read(**bounds)]


@pytest.fixture(params=[1, 3])
def log(request: pytest.FixtureRequest, redis: Redis, name: str) -> EventLog[Any]:
    """A log, and one with partitions."""
    return EventLog(redis, name, partitions=request.param)


async def test_what_was_appended_is_read(log: EventLog[Any]) -> None:
    """Entries come back in their order with all that they were appended with, from any place on."""
    events: list[Any] = [{"n": 1}, None, 0, b"\xff", "ü", [1, {"a": None}]]
    ids = [await log.append(event, key="{k}|%", headers={"traceparent": "00-ab"}) for event in events]
    assert await payloads(log) == events == await payloads(log)
    assert await payloads(log, after=ids[2]) == events[3:]
    assert await payloads(log, until=ids[2]) == events[:3]
    assert await payloads(log, after=datetime.now(UTC) + timedelta(hours=1)) == []
    found = await log.range(ids[1], ids[3])
    assert [entry.id for entry in found] == ids[1:4]
    assert {(entry.key, entry.headers["traceparent"]) for entry in found} == {("{k}|%", "00-ab")}
    assert abs(datetime.now(UTC) - found[0].at) < timedelta(minutes=1)


async def test_what_was_not_given_takes_no_room(pipelined: Redis, name: str) -> None:
    """An entry has the fields that it was appended with, and no others."""
    log: EventLog[int] = EventLog(pipelined, name)
    await log.append(1)
    await log.append_many([2], key="k")
    await log.append(3, headers={"a": "b"})
    entries = await pipelined.xrange(f"arp:{{{name}|0}}:log")
    assert [sorted(fields) for _, fields in entries] == [[b"payload"], [b"key", b"payload"], [b"headers", b"payload"]]


async def test_the_shortest_age(pipelined: Redis, name: str) -> None:
    """A log that keeps its entries for a millisecond is gone after that."""
    await EventLog(pipelined, name, max_age=0.001).append(1)

    async def is_gone() -> bool:
        return not await pipelined.exists(f"arp:{{{name}|0}}:log")

    await eventually(is_gone)


async def test_a_time_is_a_millisecond(pipelined: Redis, name: str) -> None:
    """Where a time is given, the entries of its millisecond are meant, from the first to the last of them."""
    log: EventLog[int] = EventLog(pipelined, name)
    for id_ in ("4999-3", "5000-0", "5000-7", "5001-0"):
        await pipelined.xadd(f"arp:{{{name}|0}}:log", {"payload": id_.replace("-", "")}, id_)
    at = datetime.fromtimestamp(5, UTC)
    assert await payloads(log, after=at) == [50000, 50007, 50010]
    assert await payloads(log, until=at) == [49993, 50000, 50007]
    assert [entry.payload for entry in await log.range(at, at)] == [50000, 50007]
    assert (await anext(log.tail(after=at))).payload == 50000
    group = ConsumerGroup(log, "g", start=at)
    assert (await group.stats()).lag == 3
    assert [delivery.payload for delivery in await group.claim_many(9, "w", timeout=0)] == [50000, 50007, 50010]
    assert len(await payloads(log, after=datetime.fromtimestamp(0, UTC))) == 4


async def test_many(pipelined: Redis, name: str) -> None:
    """Thousands of entries are appended and read in pages, in their order, up to the end as it was."""
    log: EventLog[int] = EventLog(pipelined, name)
    ids = await log.append_many(range(1501))
    assert len(set(ids)) == 1501
    found = []
    async for entry in log.read():
        found.append(entry.payload)
        if len(found) % 500 == 1:
            await log.append(-1)
    assert found == list(range(1501))


async def test_partitions_keep_the_order_of_keys(pipelined: Redis, name: str) -> None:
    """Entries of one key are in one partition, in their order, and all partitions are used."""
    log: EventLog[int] = EventLog(pipelined, name, partitions=4)
    for number in range(200):
        await log.append(number, key=number % 20)
    by_key = dict[str, list[tuple[int, int]]]()
    async for entry in log.read():
        assert entry.key is not None
        by_key.setdefault(entry.key, []).append((entry.payload, entry.partition))
    assert {partition for found in by_key.values() for _, partition in found} == {0, 1, 2, 3}
    for found in by_key.values():
        assert found == sorted(found)
        assert len({partition for _, partition in found}) == 1


async def test_a_tail_follows(redis: Redis, log: EventLog[Any]) -> None:
    """Who follows a log gets what is appended from then on, soon, and a subscription that is left leaves nothing."""
    await log.append("before")
    seen: list[Any] = []

    async def follow() -> None:
        async for entry in log.tail():
            seen.append(entry.payload)  # noqa: PERF401  # it never ends

    following = asyncio.create_task(follow())
    number = 0

    async def heard() -> bool:  # a tail begins when it has asked for the newest entry
        nonlocal number
        number += 1
        await log.append(number, key="k")
        return bool(seen)

    await eventually(heard)
    await log.append("last", key="k")
    await eventually(lambda: seen[-1] == "last")
    assert "before" not in seen
    assert [n for n in seen if n != "last"] == list(range(seen[0], number + 1))
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_a_tail_from_a_place(log: EventLog[Any]) -> None:
    """Who follows a log from an id gets what is there already, in its order."""
    ids = [await log.append(number, key="k") for number in range(5)]
    tail = log.tail(after=ids[1])
    assert [(await anext(tail)).payload for _ in range(3)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("options", "kept"), [({"maxlen": 10}, 10), ({"maxlen": 1}, 1), ({"max_age": 600}, 50), ({}, 50)]
)
async def test_a_log_is_bounded(redis: Redis, name: str, options: dict[str, Any], kept: int) -> None:
    """A log keeps as many entries as it should, the newest; one with an age has an expiry."""
    log: EventLog[int] = EventLog(redis, name, **options)
    await log.append_many(range(20))
    for number in range(20, 50):
        await log.append(number)
    assert await payloads(log) == list(range(50))[-kept:]
    assert (await redis.pttl(f"arp:{{{name}|0}}:log") > 0) == ("max_age" in options)


async def test_trimming(redis: Redis, name: str) -> None:
    """A log is cut to a length, to an age, and to what some live group still needs."""
    log: EventLog[int] = EventLog(redis, name)
    assert await log.trim(maxlen=5) == 0
    ids = await log.append_many(range(20))
    assert await log.trim(maxlen=15) == 5
    assert await log.trim(acked=True) == 0
    one, two = ConsumerGroup(log, "one"), ConsumerGroup(log, "two")
    for group, count in ((one, 6), (two, 9)):
        for delivery in await group.claim_many(count, "worker"):
            await delivery.ack()
    assert await log.trim(acked=True) == 5
    assert (await log.range())[0].id == ids[10]

    async def one_is_dead() -> bool:
        await two.claim("worker", timeout=0)
        return await log.trim(acked=True, dead_after=1) > 0

    await eventually(one_is_dead)
    assert await log.trim(max_age=600) == 0


async def test_a_length_is_exact(pipelined: Redis, name: str) -> None:
    """Up to ten thousand entries a log keeps exactly as many as were said."""
    log: EventLog[int] = EventLog(pipelined, name, maxlen=10_000)
    await log.append_many(range(10_050))
    assert await pipelined.xlen(f"arp:{{{name}|0}}:log") == 10_000


async def test_the_group_that_is_behind_decides(pipelined: Redis, name: str) -> None:
    """What may be dropped is up to the group whose place is before the other's, by time and then by number."""
    log, stream = EventLog[int](pipelined, name), f"arp:{{{name}|0}}:log"
    for id_ in ("5-2", "5-9", "6-0", "6-1"):
        await pipelined.xadd(stream, {"payload": "1"}, id_)
    for group, count in (("a", 3), ("b", 2), ("c", 4)):
        for delivery in await ConsumerGroup(log, group).claim_many(count, "w", timeout=0):
            assert await delivery.ack()
    assert await log.trim(acked=True) == 1
    assert [entry.id for entry in await log.range()] == ["5-9", "6-0", "6-1"]
    held, *others = await ConsumerGroup(log, "b").claim_many(9, "w", timeout=0)
    assert [await delivery.ack() for delivery in others] == [True]
    for delivery in await ConsumerGroup(log, "a").claim_many(9, "w", timeout=0):
        assert await delivery.ack()
    assert await log.trim(acked=True) == 1
    assert [entry.id for entry in await log.range()] == [held.id, "6-1"]
    assert await held.ack()
    assert await log.trim(acked=True) == 1


async def test_who_only_reads_waits_for_nothing(pipelined: Redis, name: str) -> None:
    """Reading a log, or following it while there is something, puts nobody on the list of those who wait."""
    log: EventLog[int] = EventLog(pipelined, name)
    assert await payloads(log) == []
    await log.append(1)
    assert await payloads(log) == [1]
    tail = log.tail(after="0-0")
    assert (await anext(tail)).payload == 1
    assert await pipelined.exists(f"arp:{{{name}|0}}:waiters") == 0
    await tail.aclose()


async def test_a_group_lives_with_any_of_its_consumers(pipelined: Redis, name: str) -> None:
    """What a group has not acknowledged is kept while one of its consumers is there, though another is gone."""
    log: EventLog[int] = EventLog(pipelined, name)
    group, stream = ConsumerGroup(log, "g"), f"arp:{{{name}|0}}:log"
    await log.append_many(range(3))
    for delivery in await group.claim_many(2, "gone", timeout=0):
        assert await delivery.ack()

    async def is_idle() -> bool:
        return bool((await pipelined.xinfo_consumers(stream, "g"))[0]["idle"] > 1000)

    await eventually(is_idle)
    assert await log.trim(acked=True, dead_after=1) == 0
    delivery = await group.claim("there", timeout=0)
    assert delivery is not None
    assert await log.trim(acked=True, dead_after=1) == 2


async def test_what_is_too_old_goes(pipelined: Redis, name: str) -> None:
    """An entry that is older than its log keeps goes with the next one, or when the log is cut to an age."""
    seconds, _ = await pipelined.time()
    logs: list[EventLog[int]] = [EventLog(pipelined, name, max_age=600), EventLog(pipelined, f"{name}:uncut")]
    for log in logs:
        for number, age in enumerate((700, 500)):
            await pipelined.xadd(f"arp:{{{log.name}|0}}:log", {"payload": str(number)}, f"{(seconds - age) * 1000}-0")
        await log.append(2)
    assert [await payloads(log) for log in logs] == [[1, 2], [0, 1, 2]]
    assert await logs[1].trim(max_age=600) == 1
    assert await payloads(logs[1]) == [1, 2]


async def test_a_producer_appends_once(redis: Redis, name: str) -> None:
    """What a producer appends again is in the log once; what it has not yet appended is added."""
    log: EventLog[str] = EventLog(redis, name)
    first = await log.append("a", producer="p", sequence=1)
    assert await log.append("a", producer="p", sequence=1) == first
    second = await log.append("b", producer="p", sequence=7)
    assert await log.append("a", producer="p", sequence=1) == second
    await log.append("c", producer="q", sequence=1)
    assert await payloads(log) == ["a", "b", "c"]
    assert 0 < await redis.pttl(f"arp:{{{name}|0}}:producers") <= 7 * 86_400_000


async def test_producers_that_are_gone_are_forgotten(redis: Redis, name: str) -> None:
    """A producer that appended nothing for a week is forgotten though others go on, and no other is."""
    log: EventLog[int] = EventLog(redis, name)
    producers, now = f"arp:{{{name}|0}}:producers", (await redis.time())[0] * 1000
    week = 7 * 86_400_000
    await redis.hset(producers, mapping={f"old-{number}": f"1 {now - week - 60_000}-0" for number in range(50)})
    await redis.hset(producers, "quiet", f"1 {now - week + 600_000}-0")
    sequence = itertools.count(1)

    async def forgotten() -> bool:
        await log.append(0, producer="p", sequence=next(sequence))
        return await redis.hlen(producers) == 2

    await eventually(forgotten, every=0)
    assert await redis.hexists(producers, "quiet")


async def test_readers_that_died_leave_the_line(redis: Redis, name: str) -> None:
    """A reader that was not heard of for half a minute is not told any more, however long others go on waiting."""
    waiters, (seconds, _) = f"arp:{{{name}|0}}:waiters", await redis.time()
    gone = {f"arp:inbox:{number}": (seconds - 31) * 1_000_000 for number in range(50)}
    await redis.zadd(waiters, {**gone, "arp:inbox:slow": (seconds - 20) * 1_000_000})
    tail = EventLog[int](redis, name).tail()
    waiting = asyncio.ensure_future(anext(tail))

    async def two_wait() -> bool:
        return bool(await redis.zcard(waiters) == 2)

    await eventually(two_wait)
    assert await redis.zscore(waiters, "arp:inbox:slow")
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_bytes_of_others(redis: Redis, name: str) -> None:
    """An entry that another wrote, or that is of another type, is a CodecError for who reads it."""
    log: EventLog[int] = EventLog(redis, name, codec=codec_for(int))
    for fields in ({"payload": b'"text"'}, {"other": b"1"}, {"payload": b"1", "headers": b"{"}):
        await redis.xadd(f"arp:{{{name}|0}}:log", fields)
    (last,) = [entry.id for entry in await EventLog(redis, f"{name}:x").range()] or ["0-0"]
    for _ in range(3):
        with pytest.raises(CodecError):
            await payloads(log, after=last)
        await log.trim(maxlen=2)


REFUSED: list[dict[str, Any]] = [
    *({"maxlen": value} for value in (0, -1, 1.5, True, "1", sys.maxsize)),
    *({"partitions": value} for value in (0, -1, 1.5, True)),
    *({"max_age": value} for value in (0, -1, float("nan"), float("inf"))),
    {"prefix": ""},
    {"unknown": 1},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
async def test_a_log_that_cannot_work_is_refused(pipelined: Redis, name: str, options: dict[str, Any]) -> None:
    """A log whose numbers make no sense is refused when it is made."""
    with pytest.raises((ValueError, TypeError)):
        EventLog(pipelined, name, **options)


async def test_calls_that_cannot_work_are_refused(pipelined: Redis, name: str) -> None:
    """An id, a key, headers or a sequence that are none are refused before anything is sent."""
    log: EventLog[Any] = EventLog(pipelined, name)
    for arguments in ({"key": ""}, {"key": b"k"}, {"headers": {"a": 1}}, {"producer": "p", "sequence": -1}):
        with pytest.raises((ValueError, TypeError)):
            await log.append(1, **arguments)  # type: ignore[arg-type]
    for count in (0, -1, 1.5, True):
        with pytest.raises((ValueError, TypeError), match="count must be"):
            await log.range(count=count)  # type: ignore[arg-type]
    for sequence in (1.5, True, "1", 2**53):
        with pytest.raises((ValueError, TypeError), match="sequence must be"):
            await log.append(1, producer="p", sequence=sequence)  # type: ignore[arg-type]
    for place in ("", "x", "1-", "1-2-3", "$"):
        with pytest.raises(ValueError, match="an id must be"):
            await payloads(log, after=place)
    with pytest.raises(CodecError):
        await log.append(object())
    assert await pipelined.keys(f"arp:{{{name}|*") == []


@pytest.fixture
async def proxied(server: EmbeddedServer) -> AsyncIterator[tuple[FaultProxy, Redis]]:
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        yield proxy, redis


async def test_a_lost_reply(proxied: tuple[FaultProxy, Redis], name: str) -> None:
    """An append whose reply was lost is told of, and done once where a producer made it."""
    proxy, redis = proxied
    log: EventLog[int] = EventLog(redis, name)
    proxy.add(Fault("cut_after", "EVALSHA"))
    with pytest.raises(OutcomeUnknownError):
        await log.append(1)
    proxy.add(Fault("cut_after", "EVALSHA"))
    await log.append(2, producer="p", sequence=1)
    assert await payloads(log) == [1, 2]
