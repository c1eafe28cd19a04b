"""The patterns of the laboratory: a module for each room, and one line for each module."""

from __future__ import annotations

from tests.lab.pattern import Pattern
from tests.lab.patterns.locks import LOCKS
from tests.lab.patterns.queues import QUEUES
from tests.lab.patterns.rate_limits import LIMITS
from tests.lab.patterns.sessions import SESSIONS
from tests.lab.patterns.streams import STREAMS
from tests.lab.patterns.tallies import TALLIES

__all__ = ("PATTERNS",)

_ROOMS: tuple[tuple[Pattern, ...], ...] = (
    LOCKS,
    LIMITS,
    QUEUES,
    STREAMS,
    TALLIES,
    SESSIONS,
)

PATTERNS: dict[str, Pattern] = {pattern.name: pattern for room in _ROOMS for pattern in room}
"""By their names."""
