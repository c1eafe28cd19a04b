"""The patterns of the laboratory: a module for each room, and one line for each module."""

from __future__ import annotations

from tests.lab.pattern import Pattern
from tests.lab.patterns.caches import CACHES
from tests.lab.patterns.collections import COLLECTIONS
from tests.lab.patterns.counts import COUNTS
from tests.lab.patterns.documents import DOCUMENTS
from tests.lab.patterns.feeds import FEEDS
from tests.lab.patterns.flags import FLAGS
from tests.lab.patterns.locks import LOCKS
from tests.lab.patterns.queues import QUEUES
from tests.lab.patterns.rate_limits import LIMITS
from tests.lab.patterns.relations import RELATIONS
from tests.lab.patterns.sessions import SESSIONS
from tests.lab.patterns.streams import STREAMS
from tests.lab.patterns.tallies import TALLIES
from tests.lab.patterns.web import WEB
from tests.lab.patterns.writes import WRITES

__all__ = ("ON_REPLICAS", "PATTERNS")

_ROOMS: tuple[tuple[Pattern, ...], ...] = (
    LOCKS,
    LIMITS,
    QUEUES,
    STREAMS,
    TALLIES,
    SESSIONS,
    CACHES,
    WRITES,
    FEEDS,
    WEB,
    FLAGS,
    DOCUMENTS,
    COLLECTIONS,
    COUNTS,
    RELATIONS,
)

PATTERNS: dict[str, Pattern] = {pattern.name: pattern for room in _ROOMS for pattern in room}
"""By their names."""

ON_REPLICAS = frozenset(("LockOnReplicas",))
"""Those that want replicas, and then promise that a failover forgets nothing."""
