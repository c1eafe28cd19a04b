"""The tour's step of records and documents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.documents import Document, Record

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("Profile", "STEP", "change", "judge")

_CHANGES: Final = 200
_TTL: Final = 60


@dataclass
class Profile:
    """Somebody."""

    name: str
    logins: int = 0
    points: int = 0
    mood: str | None = None


async def _run(stage: Stage) -> Outcome:
    users, docs = _stores(stage.redis, stage.prefix)
    await users.set("ada", Profile("Ada", mood="fine"))
    await docs.set("ada", {"seen": {}, "empty": []})
    won = await stage.crew.do(f"{__name__}:change", _CHANGES // PROCESSES)
    user, document = await users.get("ada"), await docs.get("ada")
    figures = f"{_CHANGES} logins, {_CHANGES} points and {_CHANGES} paths by {PROCESSES} processes"
    return Outcome(figures, judge(user, document, won))


async def change(redis: PipelinedRedis, prefix: str, changes: int) -> bool:
    """In each process: change one record and one document in all ways; whether it was the first to take the lead."""
    users, docs = _stores(redis, prefix)

    def win(user: Profile) -> Profile:
        user.points += 1
        return user

    led = await docs.compare_and_set("leader", None, prefix)
    for _ in range(changes):
        number = await users.increment("ada", "logins")
        await asyncio.gather(users.modify("ada", win), docs.update("ada", f"$.seen['{number}']", True))
    return led


def judge(user: Profile | None, document: Any, led: Sequence[bool]) -> tuple[Check, ...]:
    """Whether every change was made once, and nothing else was changed."""
    seen = {str(number): True for number in range(1, _CHANGES + 1)}
    return (
        Check("every field has each of its changes", user == Profile("Ada", _CHANGES, _CHANGES, "fine")),
        Check("no path is lost, and an empty list stays one", document == {"seen": seen, "empty": []}),
        Check("one of all compares and sets", list(led).count(True) == 1),
    )


def _stores(redis: PipelinedRedis, prefix: str) -> tuple[Record[Profile], Document]:
    return Record(redis, "user", Profile, ttl=_TTL, prefix=prefix), Document(redis, "doc", ttl=_TTL, prefix=prefix)


STEP: Final = Step(
    "Record, Document",
    f"{PROCESSES} processes count in one record, change it by what it is, and write to one document",
    "whoever changes a part loses nothing of what others change at the same time",
    _run,
)
