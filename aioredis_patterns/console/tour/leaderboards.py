"""The tour's step of leaderboards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.leaderboards import PeriodicLeaderboard, RankedMember

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "play")

_GAMES: Final = 2_000
_PLAYERS: Final = 50
_ROWS: Final = 5


async def _run(stage: Stage) -> Outcome:
    sums = await stage.crew.do(f"{__name__}:play", _GAMES // PROCESSES)
    board = _boards(stage.redis, stage.prefix)
    daily, weekly = await board.board("daily").top(_PLAYERS), await board.board("weekly").top(_PLAYERS)
    around = await board.board("daily").around(daily[-1].member, _ROWS)
    return Outcome(f"{_GAMES:,} games of {_PLAYERS} players", judge(sum(sums), daily, weekly, around))


async def play(redis: PipelinedRedis, prefix: str, games: int) -> int:
    """In each process: games that add points; how many points they were."""
    board = _boards(redis, prefix)
    points = [game % 7 + 1 for game in range(games)]
    await asyncio.gather(*(board.increment(game % _PLAYERS, won) for game, won in enumerate(points)))
    return sum(points)


def judge(
    points: int, daily: Sequence[RankedMember], weekly: Sequence[RankedMember], around: Sequence[RankedMember]
) -> tuple[Check, ...]:
    """Whether every point was counted once in each period, and the rows are those of the board."""
    scores = [row.score or 0 for row in daily]
    return (
        Check("every point is counted once", sum(scores) == points),
        Check("all periods agree", [(r.member, r.score) for r in daily] == [(r.member, r.score) for r in weekly]),
        Check("the best are first", scores == sorted(scores, reverse=True)),
        Check("the last sees as many neighbours as any other", list(around) == list(daily)[-_ROWS:]),
    )


def _boards(redis: PipelinedRedis, prefix: str) -> PeriodicLeaderboard:
    return PeriodicLeaderboard(
        redis, "game", periods=("daily", "weekly"), tz="UTC", keep=60, ties="first", prefix=prefix
    )


STEP: Final = Step(
    "PeriodicLeaderboard",
    f"{_GAMES:,} games in {PROCESSES} processes, counted on the boards of the day and of the week at once",
    "every point counts once in each period, and ranks, ties and neighbours are one moment's",
    _run,
)
