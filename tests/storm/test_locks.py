"""The storm on locks, in little; and that its checker finds what must not be."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.locks import Lock
from tests.storm.history import Diary, Hold, entries, inversions, overlaps, read_diary
from tests.storm.locks import Report, Storm, orphans

FIRST, SECOND = Hold("one", 1, 10.0, 20.0), Hold("one", 2, 20.0, 30.0)


@pytest.mark.parametrize("kind", ["Lock", "FairLock", "ReadWriteLock", "MultiLock"])
async def test_a_small_storm_breaks_nothing(own_server: EmbeddedServer, tmp_path: Path, kind: str) -> None:
    """While replies are lost, processes die and connections are cut, no holds overlap, and nothing is left."""
    report = await Storm(kind, acquisitions=300, processes=2, folder=tmp_path, pace=1.5).run(own_server)
    assert not any(report.findings.values()), report
    assert report.acquisitions >= 300
    assert report.mischief["lost replies"] > 0


def test_holds_one_after_the_other_are_found_in_order() -> None:
    """Holds that do not touch, and holds of different locks, are neither overlaps nor inversions."""
    history = [SECOND, FIRST, Hold("other", 1, 15.0, 25.0)]
    assert not overlaps(history)
    assert not inversions(history)


def test_an_overlap_is_found() -> None:
    """A hold that begins while another one is valid is found, even behind a short one that lies within it."""
    long, short, late = Hold("one", 1, 10.0, 20.0), Hold("one", 2, 11.0, 12.0), Hold("one", 3, 19.0, 21.0)
    assert overlaps([long, short, late]) == [(long, short), (long, late)]


def test_what_was_entered_after_its_validity_does_not_count() -> None:
    """A process that was paused between the lock and its first line overlaps with nobody."""
    assert not overlaps([Hold("one", 1, 15.0, 9.0), Hold("one", 2, 10.0, 20.0)])


def test_as_many_as_may_be_there_together_are_no_overlap() -> None:
    """One more than a semaphore has permits is found, and a writer beside a reader, whoever of them came first."""
    permits = [Hold("one", number, 10.0 + number, 20.0, beside=2) for number in range(4)]
    assert not overlaps(permits[:3])
    assert overlaps(permits) == [(permits[2], permits[3])]
    reader, writer = Hold("one", 1, 10.0, 20.0, beside=math.inf), Hold("one", 2, 11.0, 12.0)
    assert overlaps([reader, writer]) == [(reader, writer)]
    assert not overlaps([reader, replace(reader, fence=3)])
    late = Hold("one", 3, 11.5, 13.0, beside=math.inf)
    assert overlaps([writer, late]) == [(writer, late)]


def test_those_who_are_there_together_have_no_order() -> None:
    """Readers may write down their entries in any order, no two have the same fence, and writers come between them."""
    first, second = Hold("one", 2, 10.0, 20.0, beside=math.inf), Hold("one", 1, 11.0, 12.0, beside=math.inf)
    assert not inversions([first, second])
    again = Hold("one", 2, 13.0, 14.0, beside=math.inf)
    assert inversions([first, second, again]) == [(first, again)]
    writer = Hold("one", 2, 30.0, 40.0)
    late = Hold("one", 1, 50.0, 60.0, beside=math.inf)
    assert inversions([writer, late]) == [(writer, late)]
    assert inversions([first, replace(writer, fence=1)]) == [(first, replace(writer, fence=1))]


@pytest.mark.parametrize("fence", [1, 0])
def test_an_inversion_is_found(fence: int) -> None:
    """A fence that was seen before, or is older than one that was, is found."""
    wrong = Hold("one", fence, 20.0, 30.0)
    assert inversions([FIRST, wrong, Hold("one", 3, 40.0, 50.0)]) == [(FIRST, wrong)]


def test_a_diary_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A hold ends when it was left or its validity ended; one that was not left, with its process or its validity."""
    path = tmp_path / "1"
    diary = Diary(str(path))
    left = diary.enter(["left"], SimpleNamespace(fence=1, valid_until=1e12))
    expired = diary.enter(["expired"], SimpleNamespace(fence=2, valid_until=1.0))
    diary.enter(["killed", "with it"], SimpleNamespace(fence=3, valid_until=1e12))
    diary.enter(["killed too late"], SimpleNamespace(fence=4, valid_until=2.0))
    diary.leave(left, SimpleNamespace(valid_until=1e12))
    diary.leave(expired, SimpleNamespace(valid_until=1.0))
    ends = {hold.name: hold.ended for hold in read_diary(path, killed=5.0)}
    assert ends.pop("left") < 1e12
    assert ends == {"expired": 1.0, "killed": 5.0, "with it": 5.0, "killed too late": 2.0}
    assert 0 < entries(path) <= 4


async def test_orphans_are_found(own_server: EmbeddedServer) -> None:
    """A lock of a process that ended in order is an orphan, and so is a subscription; one of the dead is not."""
    async with connect(own_server.url) as redis, Redis.from_url(own_server.url) as looking:
        await Lock(redis, "topic:own:1:0").acquire()
        await Lock(redis, "topic:own:2:0").acquire()
        async with redis.pubsub() as subscriber:
            await subscriber.subscribe("arp:inbox:left")
            await subscriber.get_message(timeout=5)
            assert await orphans(looking, "topic", killed={"2"}) == {"keys": 1, "subscriptions": 1}


def test_what_is_left_is_a_finding() -> None:
    """Every kind of orphan, an overlap and a starved caller make a report a bad one."""
    report = Report("Lock", holds=[FIRST, Hold("one", 1, 15.0, 30.0)])
    report.left.update(keys=1, waiters=2, subscriptions=3, tasks=4)
    report.errors["starved"] = 5
    assert list(report.findings.values()) == [1, 1, 1, 2, 3, 4, 5]
