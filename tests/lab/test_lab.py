"""The fault laboratory in little; and that each of its judges finds what must not be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.errors import OutcomeUnknownError, QueueFullError
from tests.lab.__main__ import run
from tests.lab.diary import Diary
from tests.lab.history import Call, read
from tests.lab.mischief import timeline
from tests.lab.pattern import orphans
from tests.lab.patterns import PATTERNS
from tests.lab.patterns.rate_limits import BURST, LIMIT, PERIOD
from tests.lab.report import Report


async def test_a_small_storm_breaks_nothing(tmp_path: Path) -> None:
    """In two bad seconds nothing is lost, held twice, admitted too much or left behind."""
    report = await run("server", ["Lock", "SlidingLog", "Queue"], 2, 48, 2, tmp_path)
    assert report.is_clean, report
    assert report.mischief.total() == 8


def test_a_seed_makes_one_timeline() -> None:
    """A seed always makes the same storm, a longer one begins like a shorter one, and another seed makes another."""
    weights = {"one": 3, "other": 1}
    storm = timeline(7, 10, weights)
    assert timeline(7, 20, weights)[: len(storm)] == storm
    assert len(storm) == 40
    assert timeline(8, 10, weights) != storm


def test_a_diary_is_read_as_it_was_written(tmp_path: Path) -> None:
    """How a call ended is told apart: done, refused, unknown, or unknown because the process died meanwhile."""
    diary = Diary(str(tmp_path / "0-0"))
    with diary.call("Queue", "put", "first") as call:
        call.result = "id"
    with diary.call("Queue", "put", "second"):
        raise QueueFullError("queue", 1)
    for error in (OutcomeUnknownError("EVALSHA", "cut"), TimeoutError()):
        with diary.call("Queue", "put", "third"):
            raise error
    diary.call("Queue", "put", "last").__enter__()
    calls = read(tmp_path)
    assert [call.outcome for call in calls] == ["ok", "fail", "unknown", "unknown", "unknown"]
    assert [call.result for call in calls] == ["id", "QueueFullError", "OutcomeUnknownError", "TimeoutError", None]
    assert [call.ended for call in calls].index(math.inf) == 4
    assert calls[0].arguments == ("first",)


def test_a_report_says_what_was_found_and_how_it_is_found_again() -> None:
    """One finding makes a bad report, which has the finding and the seed."""
    found, clean = (Report("server", 7, 1.0, [], Counter(), {"Lock": one}) for one in (["held together"], []))
    assert (found.is_clean, clean.is_clean) == (False, True)
    assert "Lock: held together" in str(found)
    assert "--seed 7" in str(found)


def done(operation: str, *arguments: Any, at: float, result: Any = None, number: int = 0) -> Call:
    """A call that took no time."""
    return Call("0-0", number, "", operation, arguments, at, at, "ok", result)


@pytest.mark.parametrize(
    ("name", "together"), [("Lock", 1), ("MultiLock", 1), ("Semaphore", 3), ("ConcurrencyLimit", 2)]
)
def test_one_holder_too_many_is_found(name: str, together: int) -> None:
    """One more than may be there is found, unless the first one had left or its validity was over."""
    entries = [
        done("acquire", ["one"], together - 1, at=1 + number, result=[number, 9.0], number=number)
        for number in range(together + 1)
    ]
    judge = PATTERNS[name].findings
    assert judge(entries)
    assert not judge(entries[:-1])
    assert not judge([*entries, done("release", 0, 9.0, at=1.5)])
    assert not judge([replace(entries[0], result=[0, 1.5]), *entries[1:]])
    assert judge([*entries, done("release", 0, 9.0, at=60.0)])


@pytest.mark.parametrize("name", ["Lock", "FairLock", "ReentrantLock", "MultiLock"])
def test_a_fence_that_does_not_grow_is_found(name: str) -> None:
    """Two holders one after the other with the same fence are found."""
    assert PATTERNS[name].findings([done("acquire", ["one"], 0, at=at, result=[1, at + 1]) for at in (1.0, 5.0)])


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("SlidingLog", LIMIT),
        ("FixedWindow", 2 * LIMIT),
        *((name, BURST) for name in ("Gcra", "TokenBucket", "LeakyBucket")),
    ],
)
def test_one_hit_too_many_is_found(name: str, most: int) -> None:
    """One more than there is room for is found; one that was denied, or whose outcome is unknown, does not count."""
    judge = PATTERNS[name].findings
    room = [done("hit", "user", at=1.0, result=True)] * most
    assert judge([*room, done("hit", "user", at=1.05, result=True)])
    assert not judge([*room, done("hit", "user", at=1.05, result=False)])
    assert not judge([*room, done("hit", "another", at=1.05, result=True)])
    assert not judge([*room, replace(done("hit", "user", at=1.05, result=True), outcome="unknown")])
    assert not judge([*room, done("hit", "user", at=1.0 + PERIOD, result=True)])


@pytest.mark.parametrize("name", ["SlidingLog", "Gcra", "TokenBucket"])
def test_a_steady_excess_is_found(name: str) -> None:
    """A hit admitted every 80 ms is within any burst and above the rate, and is found."""
    assert PATTERNS[name].findings([done("hit", "user", at=number * 0.08, result=True) for number in range(100)])
    assert not PATTERNS[name].findings([done("hit", "user", at=number * 0.1001, result=True) for number in range(100)])


PUT, HANDLED = done("put", "m", at=1.0, result="id"), done("handle", "m", "id", at=2.0)
REPEATED = [PUT, HANDLED, done("ack", "id", at=3.0, result=True), done("claim", at=4.0, result="id")]


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([PUT, HANDLED], 0),
        ([PUT], 1),
        ([PUT, replace(HANDLED, outcome="unknown")], 1),
        ([replace(PUT, outcome="unknown")], 0),
        ([replace(PUT, outcome="unknown"), HANDLED, HANDLED], 0),
        ([replace(PUT, outcome="unknown"), HANDLED, done("handle", "m", "another", at=3.0)], 1),
        ([replace(PUT, outcome="fail"), HANDLED], 1),
        (REPEATED, 1),
        ([*REPEATED[:2], done("ack", "id", at=3.0, result=False), REPEATED[3]], 0),
    ],
)
def test_what_is_lost_doubled_or_repeated_is_found(history: Sequence[Call], findings: int) -> None:
    """A message that was put is handled, one of unknown outcome at most as one message, and none when it was done."""
    assert len(PATTERNS["Queue"].findings(history)) == findings


async def test_what_is_left_is_found(pipelined: Redis, name: str) -> None:
    """Keys of a pattern that never expire, or not soon, are found, but not those that are to stay, nor another's."""
    keys = {f"arp:{{{name}{rest}": ttl for rest, ttl in ((":1}:a", 50), ("}:fence", 99), ("x}:b", 99), ("|u}:c", 99))}
    for key, ttl in keys.items():
        await pipelined.set(key, 1, ex=ttl)
    assert len(await orphans(pipelined, name, ":fence")) == 1
    assert len(await orphans(pipelined, name)) == 2
    await pipelined.persist(next(iter(keys)))
    assert len(await orphans(pipelined, name)) == 3
    await pipelined.delete(*keys)


def sums(*results: int) -> list[Call]:
    """Additions of one, one after the other."""
    return [done("increment", "m", at=float(at), result=result) for at, result in enumerate(results)]


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        (sums(1, 2, 3), 0),
        (sums(1, 2, 2), 2),
        (sums(2, 1), 1),
        (sums(1, 3), 1),
        (
            [
                *sums(1),
                replace(done("increment", "m", at=1.0), outcome="unknown"),
                done("increment", "m", at=2.0, result=3),
            ],
            0,
        ),
        (
            [
                *sums(1),
                replace(done("increment", "m", at=1.0), outcome="fail"),
                done("increment", "m", at=2.0, result=3),
            ],
            1,
        ),
    ],
)
def test_an_addition_that_is_lost_or_counts_twice_is_found(history: Sequence[Call], findings: int) -> None:
    """Each addition makes a sum of its own, one more than the last; those of unknown outcome may have counted."""
    assert len(PATTERNS["Counter"].findings(history)) == findings


BORN, ENDED = done("create", "ada", at=1.0, number=7), done("revoke_all", "ada", at=2.0)


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([BORN, done("load", "ada", 7, at=1.5, result=True), ENDED, done("load", "ada", 7, at=3.0, result=False)], 0),
        ([BORN, ENDED, done("load", "ada", 7, at=3.0, result=True)], 1),
        ([BORN, replace(ENDED, outcome="unknown"), done("load", "ada", 7, at=3.0, result=True)], 0),
        ([BORN, replace(ENDED, arguments=("bob",)), done("load", "ada", 7, at=3.0, result=True)], 0),
        ([BORN, done("load", "ada", 7, at=3.0, result=False)], 1),
        ([BORN, done("load", "ada", 7, at=60.0, result=False)], 0),
    ],
)
def test_a_session_that_outlives_its_end_or_is_lost_is_found(history: Sequence[Call], findings: int) -> None:
    """After a logout everywhere no session is there, and without one none is gone."""
    assert len(PATTERNS["SessionStore"].findings(history)) == findings
