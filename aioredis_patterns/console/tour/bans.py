"""The tour's step of bans."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.rate_limits import Bans, FixedWindow

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "guess", "judge")

_GUESSES: Final = 400
_LIMIT: Final = 5
_AFTER: Final = 3


async def _run(stage: Stage) -> Outcome:
    answers = await stage.crew.do(f"{__name__}:guess", _GUESSES // PROCESSES)
    logins = _logins(stage.redis, stage.prefix)
    listed = [ban.subject for ban in await logins.banned()]
    sources = Counter(source for answer in answers for source in answer)
    await logins.pardon("mallory")
    pardoned = (await logins.peek("mallory")).source == "redis"
    checks = judge(sources, listed, others=bool(await logins.hit("ada")), pardoned=pardoned)
    return Outcome(f"{sources['ban']} of {_GUESSES} guesses met the ban", checks)


async def guess(redis: PipelinedRedis, prefix: str, guesses: int) -> list[str]:
    """In each process: guess a password from many tasks; what became of each guess."""
    logins = _logins(redis, prefix)
    decisions = await asyncio.gather(*(logins.hit("mallory") for _ in range(guesses)))
    return ["admitted" if decision else decision.source for decision in decisions]


def judge(sources: Counter[str], listed: Sequence[str | None], *, others: bool, pardoned: bool) -> tuple[Check, ...]:
    """Whether the ban began with the denial that it should, and is for the one who guessed."""
    return (
        Check(f"exactly {_LIMIT} guesses are admitted", sources["admitted"] == _LIMIT),
        Check(f"the denial number {_AFTER} brings the ban, and no other", sources["redis"] == _AFTER - 1),
        Check("every guess is answered", sources.total() == _GUESSES),
        Check("who is banned can be listed, and pardoned", list(listed) == ["mallory"] and pardoned),
        Check("nobody else is kept out", others),
    )


def _logins(redis: PipelinedRedis, prefix: str) -> Bans:
    limiter = FixedWindow(redis, "logins", limit=_LIMIT, period=3600, prefix=prefix)
    return Bans(limiter, after=_AFTER, within=600, first=300)


STEP: Final = Step(
    "Bans",
    f"{_GUESSES} guesses of a password from {PROCESSES} processes, {_LIMIT} an hour allowed",
    f"who is denied {_AFTER} times is out for five minutes, then ten",
    _run,
)
