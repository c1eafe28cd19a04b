"""Leaderboards: who is how far ahead, however many there are.

Which one do I want?

| I want | take |
|---|---|
| ranks, pages, neighbours, friends | `Leaderboard` |
| the same for each day, week or month, which begin and end by themselves | `PeriodicLeaderboard` |
"""

from __future__ import annotations

from .leaderboard import Leaderboard
from .periodic import PeriodicLeaderboard
from .standings import RankedMember, Standings

__all__ = ("Leaderboard", "PeriodicLeaderboard", "RankedMember", "Standings")
