"""The tour's step of limits that are decided together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.client.attach import is_cluster
from aioredis_patterns.rate_limits import CompositeLimit, Gcra, SlidingLog, TokenBucket

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "hit", "judge")

_HITS: Final = 2_000
_USERS: Final = 40
_TENANTS: Final = 4
_LIMITS: Final = {"user": 20, "tenant": 150, "everybody": 500}
_PERIOD: Final = 86_400
"""A day: within the tour nothing of the limits comes back."""


async def _run(stage: Stage) -> Outcome:
    answers = await stage.crew.do(f"{__name__}:hit", _HITS // PROCESSES)
    admitted = [subjects for answer in answers for subjects, allowed in answer if allowed]
    used = {}
    # In a cluster a composite keeps a state of its own, of which the parts know nothing.
    for part in () if is_cluster(stage.redis) else _parts(stage.redis, stage.prefix):
        for subject in _subjects_of(part.name):
            used[subject] = part.limit - (await part.peek(subject)).remaining
    counted = Counter(subject for subjects in admitted for subject in (*subjects, "everybody"))
    figures = f"{len(admitted)} admitted by all three, {_HITS - len(admitted):,} denied"
    return Outcome(figures, judge(len(admitted), counted, used))


async def hit(redis: PipelinedRedis, prefix: str, hits: int) -> list[tuple[tuple[str, str], bool]]:
    """In each process: hit for many users of some tenants; who it was for, and whether it was admitted."""
    limit = CompositeLimit(redis, "calls", _parts(redis, prefix), prefix=prefix)
    callers = [(f"user:{i % _USERS}", f"tenant:{i % _TENANTS}") for i in range(hits)]
    asked = (limit.hit({"user": one, "tenant": other, "everybody": "everybody"}) for one, other in callers)
    decisions = await asyncio.gather(*asked)
    return [(caller, decision.allowed) for caller, decision in zip(callers, decisions, strict=True)]


def judge(admitted: int, counted: Mapping[str, int], used: Mapping[str, int]) -> tuple[Check, ...]:
    """Whether the smallest limit was admitted, and all parts have counted what was admitted and nothing else."""
    exactly = Check(f"exactly {_LIMITS['everybody']} are admitted", admitted == _LIMITS["everybody"])
    if not used:
        return (exactly,)
    return (
        exactly,
        Check("each part has counted what was admitted", all(used.get(who) == count for who, count in counted.items())),
        Check("no part has counted what another denied", sum(used.values()) == sum(counted.values())),
    )


def _parts(redis: PipelinedRedis, prefix: str) -> list[TokenBucket | Gcra | SlidingLog]:
    kinds: tuple[type[TokenBucket | Gcra | SlidingLog], ...] = (TokenBucket, Gcra, SlidingLog)
    named = zip(kinds, _LIMITS.items(), strict=True)
    return [kind(redis, name, limit=limit, period=_PERIOD, prefix=prefix) for kind, (name, limit) in named]


def _subjects_of(part: str) -> list[str]:
    counts = {"user": _USERS, "tenant": _TENANTS}
    return [f"{part}:{i}" for i in range(counts[part])] if part in counts else [part]


STEP: Final = Step(
    "CompositeLimit",
    f"{_HITS:,} concurrent hits, each for a user, a tenant and everybody",
    "all limits admit and count a hit, or none of them does",
    _run,
)
