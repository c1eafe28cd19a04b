"""The tour's step of the sessions."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from itertools import chain
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.errors import SessionConflictError
from aioredis_patterns.sessions import SessionStore

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "use")

_LOGINS: Final = 20
_MOST: Final = 3
_TTL: Final = 60


async def _run(stage: Stage) -> Outcome:
    store = _store(stage.redis, stage.prefix)
    token = (await store.create("ada", {"cart": ["tea"]})).token
    used = await stage.crew.do(f"{__name__}:use", token, _LOGINS // PROCESSES)
    rotated = [new for new, _ in used if new]
    session = await store.load(rotated[0]) if rotated else None
    living = len(await store.list("bob"))
    await store.revoke_all("ada")
    await store.revoke_all("bob")
    tokens = [token, *rotated, *chain.from_iterable(logins for _, logins in used)]
    left = [each for each in tokens if await store.load(each) is not None]
    figures = f"{PROCESSES} changes and rotations at a time, {_LOGINS} logins, {len(tokens)} tokens"
    return Outcome(figures, judge([] if session is None else list(session), rotated, living, len(left)))


async def use(redis: PipelinedRedis, prefix: str, token: str, logins: int) -> tuple[str, list[str]]:
    """In each process: change the one session, rotate it, and log in; the new token, if it won, and those of logins."""
    store, rotated = _store(redis, prefix), ""
    session = await store.load(token)
    if session is not None:
        session[f"by {os.getpid()}"] = True
        await store.save(session)
        try:
            rotated = (await store.rotate(session)).token
        except SessionConflictError:  # another was faster
            pass
    return rotated, [(await store.create("bob")).token for _ in range(logins)]


def judge(fields: Collection[str], rotated: Sequence[str], living: int, left: int) -> tuple[Check, ...]:
    """Whether nothing was lost, and nothing lives that should not."""
    return (
        Check("what each process changes is in the session", len(fields) == 1 + PROCESSES),
        Check("of all rotations one wins", len(rotated) == 1),
        Check(f"of {_LOGINS} logins at a time {_MOST} live", living == _MOST),
        Check("no token is good after logging out everywhere", left == 0),
    )


def _store(redis: PipelinedRedis, prefix: str) -> SessionStore:
    return SessionStore(redis, "web", idle=_TTL, lifetime=_TTL, max_sessions=_MOST, prefix=prefix)


STEP: Final = Step(
    "SessionStore",
    f"{PROCESSES} processes change and rotate one session, and log in {_LOGINS} times as one user who may have {_MOST}",
    "a session loses no change, and ends when it should",
    _run,
)
