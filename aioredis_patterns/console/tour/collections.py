"""The tour's step of the collections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.collections import SocialGraph, TagIndex, UniqueSet

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "add", "judge")

_PEOPLE: Final = 40
_TTL: Final = 60


async def _run(stage: Stage) -> Outcome:
    new = await stage.crew.do(f"{__name__}:add")
    graph, tags = _graph(stage.redis, stage.prefix), _tags(stage.redis, stage.prefix)
    star, fans = await graph.followers(0), await tags.find(all=["fan"], none=["star"])
    following = [(await graph.following(one)).people for one in range(1, _PEOPLE)]
    outcome = Outcome(f"{sum(new)} of {_PEOPLE} new, {star.count} followers", judge(new, star.people, following, fans))
    await asyncio.gather(*(graph.unfollow(one, 0) for one in range(1, _PEOPLE)))
    await asyncio.gather(*(tags.remove(one) for one in range(_PEOPLE)))
    return outcome


async def add(redis: PipelinedRedis, prefix: str) -> int:
    """In each process: add the same people, tag them, and have all of them follow one; how many were new."""
    seen, graph, tags = UniqueSet(redis, "seen", ttl=_TTL, prefix=prefix), _graph(redis, prefix), _tags(redis, prefix)
    new = await asyncio.gather(*(seen.add(one) for one in range(_PEOPLE)))
    await tags.add(0, "fan", "star")
    await asyncio.gather(*(tags.add(one, "fan") for one in range(1, _PEOPLE)))
    await asyncio.gather(*(graph.follow(one, 0) for one in range(1, _PEOPLE)))
    return sum(new)


def judge(
    new: Sequence[int], followers: Sequence[str], following: Sequence[Sequence[str]], fans: Sequence[str]
) -> tuple[Check, ...]:
    """Whether everybody is new once, and both sides of the graph and of the index agree."""
    crowd = sorted(str(one) for one in range(1, _PEOPLE))
    agree = list(followers) == crowd and all(one == ["0"] for one in following)
    return (
        Check("everybody is new once", sum(new) == _PEOPLE),
        Check("both directions of the graph agree", agree),
        Check("tags are found with and without others", list(fans) == crowd),
    )


def _graph(redis: PipelinedRedis, prefix: str) -> SocialGraph:
    return SocialGraph(redis, "people", prefix=prefix)


def _tags(redis: PipelinedRedis, prefix: str) -> TagIndex:
    return TagIndex(redis, "people", prefix=prefix)


STEP: Final = Step(
    "UniqueSet, TagIndex, SocialGraph",
    f"{PROCESSES} processes add the same {_PEOPLE} people, tag them and have them follow one",
    "whoever is added by many is new once, and both sides of a relation change together",
    _run,
)
