"""The tour's step of who leads: `LeaderElection`, with a `FenceGuard` for what leaders write, and `Redlock`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import chain, pairwise
from typing import Final

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.embedded import embedded_servers
from aioredis_patterns.errors import LockLostError, ServerUnavailableError
from aioredis_patterns.locks import FenceGuard, LeaderElection, Redlock

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "lead")

_TERMS: Final = 3
"""Of each process."""

_SERVERS: Final = 5

_WRITE: Final = "return redis.call('SET', KEYS[1], ARGV[1], 'PX', 120000)"


async def _run(stage: Stage) -> Outcome:
    answers = await stage.crew.do(f"{__name__}:lead", _TERMS)
    terms = sorted(chain.from_iterable(answers))
    refused = not await _write(stage.redis, stage.prefix, terms[0])
    fences = await _lose_two(stage.prefix)
    figures = f"{len(terms)} terms of {PROCESSES} processes; "
    figures += f"{len(fences)} holds on {_SERVERS} servers, two of them killed" if fences else "no program for Redlock"
    return Outcome(figures, judge(terms, fences, refused=refused))


async def lead(redis: PipelinedRedis, prefix: str, times: int) -> list[int]:
    """In each process: lead, write as the leader, and resign, so many times; the terms whose write was executed."""
    terms = []
    for _ in range(times):
        async with LeaderElection(redis, "scheduler", lease=10, prefix=prefix) as election:
            term = await election.elected()
            if await _write(redis, prefix, term):
                terms.append(term)
    return terms


async def _write(redis: PipelinedRedis, prefix: str, term: int) -> bool:
    """Write as the leader of a term; whether that was executed."""
    guard = FenceGuard(redis, "schedule", prefix=prefix)
    try:
        await guard.run(term, _WRITE, [f"{prefix}:{{schedule}}:plan"], [f"by term {term}"])
    except LockLostError:
        return False
    return True


async def _lose_two(prefix: str) -> list[int]:
    """The fences of a lock on several servers, two of which are killed; none where no server program is found."""
    fences: list[int] = []
    async with AsyncExitStack() as stack:
        try:
            servers = await stack.enter_async_context(embedded_servers(_SERVERS))
        except ServerUnavailableError:
            return fences
        clients = [await stack.enter_async_context(connect(server.url)) for server in servers]
        lock = Redlock(clients, "ledger", lease=5, prefix=prefix)
        for victim in (None, *servers[:2]):
            if victim is not None:
                await victim.kill()
            async with lock as lease:
                fences.append(lease.fence)
    return fences


def judge(terms: Sequence[int], fences: Sequence[int], *, refused: bool) -> tuple[Check, ...]:
    """Whether each term had one leader, the guard kept an old one out, and the lock outlived two servers."""
    return (
        Check("every process leads as often as it stands", len(terms) == PROCESSES * _TERMS),
        Check("no two terms have the same number", len(set(terms)) == len(terms)),
        Check("a leader of an old term writes nothing", refused),
        Check("fences grow while servers are killed", all(one < two for one, two in pairwise(fences))),
    )


STEP: Final = Step(
    "LeaderElection, FenceGuard, Redlock",
    f"{PROCESSES} processes lead in turn, and write; a lock on {_SERVERS} servers, two of which are killed",
    "one leads at a time, and an old leader writes no more; a majority of servers is enough for a lock",
    _run,
)
