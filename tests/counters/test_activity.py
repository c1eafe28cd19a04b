"""Activity: members count once a day, days are the server's, no key is left behind, and memory stays what was said."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import connect
from aioredis_patterns.counters import Activity, Cohort, activity
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from tests.support.faults import Fault, FaultProxy

TODAY = datetime.now(UTC).date()
MONDAY = TODAY - timedelta(TODAY.weekday() + 42)  # of late, or it is kept no more
WEEK = [MONDAY + timedelta(at) for at in range(7)]


async def keys_of(redis: Redis, name: str) -> list[Any]:
    return [key async for key in redis.scan_iter(f"arp:{{{name}}}:*")]


async def test_a_member_counts_once_a_day(redis: Redis, name: str) -> None:
    """Marking tells who is new that day, an int is its digits, and other days know nothing of it."""
    activity = Activity(redis, name)
    assert [await activity.mark("ada", "bob"), await activity.mark("bob", "bob", 7), await activity.mark("7")] == [
        2,
        1,
        0,
    ]
    assert [await activity.mark("new", "new"), await activity.mark("newer")] == [1, 1]
    assert [await activity.count(), await activity.wau(), await activity.mau()] == [5, 5, 5]
    assert [await activity.active("ada"), await activity.active("cy"), await activity.active(7)] == [True, False, True]
    assert await activity.active("ada", MONDAY) is False
    assert await activity.count(MONDAY) == 0


async def test_days_are_put_together(redis: Redis, name: str) -> None:
    """Any day, all days, a week and a month are counted exactly, and only bitmaps and the map are left."""
    activity = Activity(redis, name)
    for number, day in enumerate(WEEK):
        await activity.mark(*range(number, number + 10), day=day)
    assert [await activity.active_any(WEEK[:3]), await activity.active_all(WEEK[:3])] == [12, 8]
    assert [await activity.active_any(WEEK[:2]), await activity.active_all(WEEK[:2])] == [11, 9]
    assert [await activity.active_any(WEEK[:1]), await activity.active_all([*WEEK, MONDAY + timedelta(29)])] == [10, 0]
    assert [await activity.wau(WEEK[-1]), await activity.wau(WEEK[0]), await activity.mau(MONDAY + timedelta(33))] == [
        16,
        10,
        12,
    ]
    assert len(await keys_of(redis, name)) == len(WEEK) + 1


async def test_retention_is_a_triangle(redis: Redis, name: str) -> None:
    """Each row tells how many of its first period came back in each later one, by days and by weeks."""
    activity = Activity(redis, name)
    await activity.mark("ada", "bob", "cy", "di", day=WEEK[0])
    await activity.mark("ada", "bob", "new", day=WEEK[1])
    await activity.mark("ada", "new", day=WEEK[2])
    by_day = [Cohort(WEEK[0], [4, 2, 1]), Cohort(WEEK[1], [3, 2]), Cohort(WEEK[2], [2])]
    assert await activity.retention(MONDAY, 3) == by_day
    assert by_day[0].rates == [1.0, 0.5, 0.25]
    by_two = [Cohort(WEEK[0], [5, 2, 0]), Cohort(WEEK[2], [2, 0]), Cohort(WEEK[4], [0])]
    assert await activity.retention(MONDAY, 3, days=2) == by_two
    assert by_two[2].rates == [0.0]
    assert len(await keys_of(redis, name)) == 4


async def test_a_day_that_is_none_leaves_nothing_behind(redis: Redis, name: str) -> None:
    """Where a day's key is of another type, a question about it is an error that leaves no key behind."""
    activity = Activity(redis, name)
    await activity.mark("ada", day=WEEK[0])
    await activity.mark("ada", day=WEEK[1])
    before = sorted(await keys_of(redis, name))
    await redis.delete(before[1])
    await redis.lpush(before[1], "another's")
    for question in (activity.retention(WEEK[0], 2), activity.active_any(WEEK), activity.active_all(WEEK)):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await question
    assert sorted(await keys_of(redis, name)) == before


async def test_every_member_has_a_bit_of_its_own(pipelined: Redis, name: str) -> None:
    """However many meet new members at one time, each has one bit, and the bits have no gaps."""
    activity = Activity(pipelined, name)
    crowd = (activity.mark(*range(start, start + 40), day=WEEK[start % 7]) for start in range(0, 400, 10))
    await asyncio.gather(*crowd)
    await activity.mark("new", "new", "newer", day=MONDAY)
    bits = {int(bit) for bit in (await pipelined.hgetall(f"arp:{{{name}}}:ids")).values()}
    assert bits == set(range(432))
    assert await activity.active_any(WEEK) == 432


async def test_what_is_too_much_changes_nothing(redis: Redis, name: str) -> None:
    """Members beyond the capacity are refused before anything is written, those that are known are not."""
    activity = Activity(redis, name, capacity=3)
    await activity.mark("ada", "bob", day=MONDAY)
    with pytest.raises(OverflowError, match="3 members"):
        await activity.mark("ada", "cy", "di", day=WEEK[1])
    assert [await activity.count(WEEK[1]), len(await keys_of(redis, name))] == [0, 2]
    assert [await activity.mark("ada", "cy", day=WEEK[1]), await activity.mark("bob", day=WEEK[1])] == [2, 1]


async def test_numbers_may_be_their_own_bits(redis: Redis, name: str) -> None:
    """Direct members need no map, and one that is no bit below the capacity is refused before anything is sent."""
    activity = Activity(redis, name, direct=True, capacity=1000)
    assert [await activity.mark(0, 999, 7), await activity.mark(7)] == [3, 0]
    assert [await activity.active(999), await activity.active(998), await activity.count()] == [True, False, 3]
    (bits,) = await keys_of(redis, name)
    assert await redis.strlen(bits) == 125
    for absurd in (1000, 4_294_967_295, -1, "7", True):
        with pytest.raises((ValueError, TypeError), match="its own bit"):
            await activity.mark(absurd, day=MONDAY)
    assert await keys_of(redis, name) == [bits]


async def test_a_day_is_kept_for_a_while(redis: Redis, name: str) -> None:
    """A day expires when its end and the time it is kept have passed, the map with the last day that is kept."""
    activity = Activity(redis, name, tz="Europe/Berlin", keep=timedelta(days=3650))
    midnights = (datetime.combine(day + timedelta(1), time(), ZoneInfo("Europe/Berlin")) for day in (WEEK[0], WEEK[-1]))
    first, last = (midnight.timestamp() + 3650 * 86_400 for midnight in midnights)
    for day in (WEEK[0], WEEK[-1], WEEK[0]):
        await activity.mark("ada", day=day)
    await activity.mark(*range(100), day=WEEK[0])
    lives = sorted([await redis.pttl(key) / 1000 for key in await keys_of(redis, name)])
    seconds, _ = await redis.time()
    assert [seconds + life for life in lives] == pytest.approx([first, last, last], abs=3)
    with pytest.raises(ValueError, match="not kept"):
        await Activity(redis, f"{name}:old", keep=0).mark("ada", day=date(2020, 1, 1))
    with pytest.raises(ValueError, match="not kept"):
        await Activity(redis, f"{name}:old", keep=0).mark("ada", day=datetime.now(UTC).date() - timedelta(days=2))
    assert await keys_of(redis, f"{name}:old") == []


async def test_a_wrong_clock_marks_the_right_day(redis: Redis, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose clock is days off is put right by the server before anything is written or counted."""
    wrong, right = Activity(redis, name), Activity(redis, name)
    monkeypatch.setattr(wrong._days, "_ahead_us", 3 * 86_400_000_000)
    await wrong.mark("ada")
    assert [await right.count(), await right.active("ada"), len(await keys_of(redis, name))] == [1, True, 2]
    for days in (-9, 9):
        for ask, answer in ((wrong.count, 1), (wrong.wau, 1), (partial(wrong.active, "bob"), False)):
            monkeypatch.setattr(wrong._days, "_ahead_us", days * 86_400_000_000)
            assert await ask() == answer
        monkeypatch.setattr(wrong._days, "_ahead_us", days * 86_400_000_000)
        assert await wrong.active("ada") is True


@pytest.mark.parametrize("script", [activity._MARK, activity._ACTIVE, activity._COUNT])
async def test_the_time_is_the_servers(pipelined: Redis, name: str, script: Script) -> None:
    """With each answer comes the time of the server, to the microsecond."""
    args = {"activity_mark": (0, 0, 2**42, 8, 1, 3), "activity_active": (0, 0, 1, 3), "activity_count": (0, 0, "OR")}
    keys = [f"arp:{{{name}}}:{part}" for part in ("bits", "ids")]
    times = [await pipelined.time()]
    _, now = await script(pipelined, *keys, *args[script.name])
    times.append(await pipelined.time())
    before, after = (seconds * 1_000_000 + microseconds for seconds, microseconds in times)
    assert before <= now <= after


async def test_a_lost_reply_marks_nobody_twice(server: EmbeddedServer, name: str) -> None:
    """A call whose reply is lost is repeated, and the count is right."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        activity = Activity(redis, name)
        await activity.mark("ada")
        proxy.add(Fault("cut_after", "EVALSHA"))
        assert await activity.mark("ada", "bob") == 0
        assert await activity.count() == 2


async def test_a_day_of_many_is_as_small_as_its_bits(pipelined: Redis, name: str) -> None:
    """A million members take at most 132 kB a day, even when they came one after the other."""
    activity = Activity(pipelined, name, direct=True)
    for start in range(0, 1_000_000, 2_503):
        await activity.mark(start, day=MONDAY)
    await activity.mark(*range(999_000, 1_000_000), day=MONDAY)
    (bits,) = await keys_of(pipelined, name)
    assert 125_000 <= await pipelined.memory_usage(bits) <= 132_000


async def test_a_day_grows_by_a_little_room(pipelined: Redis, name: str) -> None:
    """A day that grows takes a thirty-second more than it needs, and no more than its capacity."""
    activity = Activity(pipelined, name, direct=True)
    await activity.mark(80_000, day=MONDAY)
    (bits,) = await keys_of(pipelined, name)
    length = await pipelined.strlen(bits)
    assert 10_001 < length <= 10_001 * 33 / 32
    await activity.mark(8 * length, day=MONDAY)
    assert length < await pipelined.strlen(bits) <= (length + 1) * 33 / 32
    assert await pipelined.memory_usage(bits) <= 13_000
    full = Activity(pipelined, f"{name}:full", direct=True, capacity=80_008)
    await full.mark(80_007, day=MONDAY)
    (bits,) = await keys_of(pipelined, f"{name}:full")
    assert await pipelined.strlen(bits) == 10_001
    assert await pipelined.memory_usage(bits) <= 13_000


async def test_one_member_may_be_all(redis: Redis, name: str) -> None:
    """The smallest capacity has room for one member, mapped or direct."""
    for direct, member in ((False, "ada"), (True, 0)):
        activity = Activity(redis, f"{name}:{direct}", capacity=1, direct=direct)
        assert [await activity.mark(member), await activity.count()] == [1, 1]


async def test_a_day_that_has_ended_is_not_marked_when_none_is_kept(redis: Redis, name: str) -> None:
    """With nothing to be kept, the day before the server's is gone."""
    seconds, _ = await redis.time()
    yesterday = datetime.fromtimestamp(seconds, UTC).date() - timedelta(1)
    with pytest.raises(ValueError, match="not kept"):
        await Activity(redis, name, keep=0).mark("ada", day=yesterday)


async def test_nonsense_is_refused(pipelined: Redis, name: str) -> None:
    """What is no day, no number of days and no member is refused before anything is sent."""
    activity = Activity(pipelined, name)
    for nonsense in (
        activity.mark(),
        activity.mark(*range(1001)),
        activity.mark(b"ada"),  # type: ignore[arg-type]
        activity.mark("ada", day=datetime.now(UTC)),
        activity.count(date(1, 1, 1)),
        activity.active_any([]),
        activity.active_all([MONDAY] * 401),
        activity.retention(MONDAY, 0),
        activity.retention(MONDAY, 100, days=7),
        activity.retention(MONDAY, True),
    ):
        with pytest.raises((TypeError, ValueError)):
            await nonsense
    for make in (lambda: Activity(pipelined, name, capacity=2**28), lambda: Activity(pipelined, name, keep=-1)):
        with pytest.raises(ValueError, match="must be"):
            make()
    assert await keys_of(pipelined, name) == []


async def test_activity_works_in_a_cluster() -> None:
    """All days of a name are in one slot, so they are put together on any node."""
    async with embedded_cluster(masters=3, replicas=0) as cluster, connect(cluster.url) as redis:
        for name in ("app", "shop", "blog"):
            activity = Activity(redis, name)
            for day in WEEK[:3]:
                await activity.mark("ada", f"{day}", day=day)
            assert [await activity.active_any(WEEK), await activity.active_all(WEEK[:3])] == [4, 1]
            assert (await activity.retention(MONDAY, 2))[0].counts == [2, 1]
