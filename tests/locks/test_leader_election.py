"""LeaderElection: one leads at a time, and who cannot lead any more is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import LockError, LockTimeoutError
from aioredis_patterns.locks import LeaderElection, Lock
from aioredis_patterns.locks._waiting import Waiting
from tests.support.faults import FaultProxy
from tests.support.processes import worker
from tests.support.waiting import eventually


class Diary:
    """What a candidate was told, and when."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int, float]] = []

    def elected(self, term: int) -> None:
        self.entries.append(("elected", term, monotonic()))

    def deposed(self, term: int) -> None:
        self.entries.append(("deposed", term, monotonic()))

    @property
    def said(self) -> list[tuple[str, int]]:
        return [(what, term) for what, term, _ in self.entries]


def candidate(redis: Redis, name: str, diary: Diary, lease: float = 10) -> LeaderElection:
    return LeaderElection(redis, name, lease=lease, on_elected=diary.elected, on_deposed=diary.deposed)


@contextlib.asynccontextmanager
async def candidates(url: str, name: str, count: int, lease: float = 10) -> AsyncIterator[list[LeaderElection]]:
    """Candidates for one office, each with a client of its own."""
    async with contextlib.AsyncExitStack() as stack:
        standing = []
        for _ in range(count):
            redis = await stack.enter_async_context(connect(url))
            standing.append(await stack.enter_async_context(LeaderElection(redis, name, lease=lease)))
        yield standing


async def nothing_is_left(redis: Redis, name: str) -> None:
    async def clean() -> bool:
        keys: list[Any] = [key async for key in redis.scan_iter(match=f"arp:office:{{{name}}}:*")]
        names = [key if isinstance(key, str) else key.decode() for key in keys]
        return not [key for key in names if not key.endswith(":fence")] and not link_of(redis).companion(Waiting)

    await eventually(clean)


async def test_a_candidate_is_elected_and_resigns_at_the_end(redis: Redis, name: str) -> None:
    """One candidate leads from its election to the end of the block, is told once of each, and leaves nothing."""
    diary = Diary()
    async with candidate(redis, name, diary) as election:
        term = await election.elected(timeout=5)
        assert election.is_leader
        assert election.term == term
        assert diary.said == [("elected", term)]
        owner = await election.leader()
        assert owner is not None
        assert owner.fence == term
    assert not election.is_leader
    assert election.term is None
    assert await election.leader() is None
    assert diary.said == [("elected", term), ("deposed", term)]
    await nothing_is_left(redis, name)


async def test_one_leads_at_a_time(url: str, name: str) -> None:
    """Of several candidates one leads; each resignation hands over to another, with a greater term, at once."""
    async with candidates(url, name, 4, lease=6) as standing:
        terms, leaders = [], []
        for _ in range(4):
            leader = await eventually(lambda: next((one for one in standing if one.is_leader), None), timeout=1)
            assert sum(one.is_leader for one in standing) == 1
            terms.append(leader.term)
            leaders.append(leader)
            assert await leader.resign()
            assert not leader.is_leader
        assert all(one < two for one, two in pairwise(terms))
        assert len(set(leaders)) == 4


async def test_a_resigned_leader_stands_again(pipelined: Redis, name: str) -> None:
    """Who resigned and has no rival is elected again, after others had the time to be."""
    diary = Diary()
    async with candidate(pipelined, name, diary, lease=0.9) as election:
        first = await election.elected()
        assert await election.resign()
        assert not await election.resign()
        again = await election.elected(timeout=5)
        assert again > first
    assert diary.said == [("elected", first), ("deposed", first), ("elected", again), ("deposed", again)]


@pytest.mark.parametrize("end", ["kill", "pause"])
async def test_a_leader_that_is_gone_is_replaced_within_its_lease(url: str, name: str, end: str) -> None:
    """After kill -9 or SIGSTOP of the leading process another one leads when the lease has passed, in a new term."""
    async with worker("tests.locks.workers:lead", url, name, 0.8) as process:
        first = await process.line()
        async with candidates(url, name, 1, lease=0.8) as (election,):
            assert not election.is_leader
            getattr(process, end)()
            gone = monotonic()
            assert await election.elected(timeout=5) > first[1]
            assert monotonic() - gone < 0.8 + 0.3
            if end == "pause":
                process.resume()
                said = [await process.line(), await process.line()]
                assert sorted(said) == [["deposed", first[1]], ["is_leader", False]]


async def test_it_steps_down_before_its_lease_ends(own_server: EmbeddedServer, name: str) -> None:
    """A leader that cannot renew is told while the server still keeps its office, once, and stands again afterwards."""
    diary = Diary()
    async with (
        FaultProxy(str(own_server.host), int(own_server.port or 0)) as proxy,
        connect(proxy.url, deadline=0.2) as redis,
        connect(own_server.url) as direct,
        candidate(redis, name, diary, lease=1) as election,
    ):
        first = await election.elected()
        proxy.black_hole()
        ends = monotonic() + await direct.pttl(f"arp:office:{{{name}}}:lock") / 1000
        await eventually(lambda: not election.is_leader)
        await eventually(lambda: len(diary.entries) == 2)
        assert diary.entries[1][2] < ends - 0.05
        proxy.heal()
        assert await election.elected(timeout=10) > first
        assert [what for what, _ in diary.said] == ["elected", "deposed", "elected"]


async def test_a_leader_whose_office_is_taken_is_deposed(pipelined: Redis, name: str) -> None:
    """A leader whose key is gone from the server is deposed at its next renewal, and elected again under a new term."""
    diary = Diary()
    async with candidate(pipelined, name, diary, lease=0.9) as election:
        first = await election.elected()
        await pipelined.delete(f"arp:office:{{{name}}}:lock")
        await eventually(lambda: len(diary.entries) >= 3)
        assert diary.said[:2] == [("elected", first), ("deposed", first)]
        assert diary.said[2][1] > first


async def test_waiting_to_be_elected_ends(pipelined: Redis, name: str) -> None:
    """Who waits for an election gets a timeout while another leads, and an error when the candidate stands no more."""
    async with candidate(pipelined, name, Diary()) as leader:
        await leader.elected()
        other = candidate(pipelined, name, Diary())
        with pytest.raises(LockError):
            await other.elected()
        async with other:
            with pytest.raises(LockTimeoutError):
                await other.elected(timeout=0.05)
            waiting = asyncio.create_task(other.elected())
            await asyncio.sleep(0)
        with pytest.raises(LockError):
            await waiting
        async with other:
            assert not other.is_leader
    await nothing_is_left(pipelined, name)


async def test_a_candidate_stands_once(pipelined: Redis, name: str) -> None:
    """An object is one candidate: entering it twice is refused, entering it again after its end is not."""
    election = candidate(pipelined, name, Diary())
    async with election:
        with pytest.raises(LockError):
            await election.__aenter__()
        first = await election.elected()
    async with election:
        assert await election.elected() > first


async def test_a_candidate_that_left_while_it_resigned_stands_like_any_other(pipelined: Redis, name: str) -> None:
    """A resignation that the end of the block interrupts says nothing about the next time that the candidate stands."""
    election = candidate(pipelined, name, Diary())
    async with election:
        await election.elected()
        resigning = asyncio.create_task(election.resign())
        await eventually(lambda: not election.is_leader, every=0)
    assert await asyncio.wait_for(asyncio.gather(resigning, return_exceptions=True), 1)
    async with election:
        term = await election.elected()
        await pipelined.ping()
        assert election.term == term


async def test_a_lock_of_the_same_name_is_another(pipelined: Redis, name: str) -> None:
    """An office and a lock may have the same name."""
    async with candidate(pipelined, name, Diary()) as election:
        await election.elected()
        async with Lock(pipelined, name, timeout=1):
            assert election.is_leader


async def test_a_callback_that_fails_changes_nothing(
    pipelined: Redis, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What a callback raises is logged, and the candidate leads on."""

    def fail(term: int) -> None:
        raise RuntimeError(term)

    async with LeaderElection(pipelined, name, on_elected=fail, on_deposed=fail) as election:
        term = await election.elected()
        assert election.is_leader
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records] == [str(term)] * 2


async def test_cancelled_at_any_moment_nothing_is_left(pipelined: Redis, name: str) -> None:
    """Candidates that are cancelled while they stand, lead, resign or leave are told in pairs, and hold nothing."""
    dice, diary, before = random.Random(8), Diary(), asyncio.all_tasks()

    async def stand() -> None:
        async with candidate(pipelined, name, diary, lease=30) as election:
            await election.elected()
            await election.resign()

    for _ in range(10):
        tasks = [asyncio.create_task(stand()) for _ in range(5)]
        for task in tasks:
            await asyncio.sleep(dice.random() * 0.002)
            task.cancel()
        await asyncio.wait(tasks)
    await nothing_is_left(pipelined, name)
    await eventually(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()})
    assert diary.said[::2] == [("elected", term) for _, term in diary.said[1::2]]
    assert {what for what, _ in diary.said[1::2]} <= {"deposed"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"lease": 0}, ValueError),
        ({"lease": float("nan")}, ValueError),
        ({"lease": 10**12}, ValueError),
        ({"name": ""}, ValueError),
        ({"name": b"x"}, TypeError),
        ({"name": "x" * 513}, ValueError),
        ({"candidate": 1}, TypeError),
    ],
)
async def test_nonsense_is_refused(pipelined: Redis, arguments: dict[str, Any], error: type[Exception]) -> None:
    """What makes no sense is refused when the candidate is made."""
    with pytest.raises(error):
        LeaderElection(**(dict[str, Any](redis=pipelined, name="x") | arguments))
