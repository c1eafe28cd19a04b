"""Who races whom, at what, and which ratio is wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import bench_boards
import bench_caches
import bench_locks
import bench_queues
import bench_rate_limits
import bench_sessions
import bench_transport

TASKS = (1, 50, 500)
COUNTED_TASKS = 50
"""So many make the calls whose commands are counted, one after the other."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One who races. What stands `beside` is no library: it shows where the ceiling is, and no ratio is to it."""

    who: str
    part: Literal["ours", "peer", "beside"]
    library: str | None = None
    """What its environment has; None for ours."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that all contenders do."""

    room: str
    what: str
    contenders: tuple[Contender, ...]
    targets: dict[int, float] = field(default_factory=dict)
    tasks: tuple[int, ...] = TASKS
    entries: int = 0
    """How many entries are stored when the calls of a count are over; 0 where nothing is kept for each."""
    flushed: bool = False
    """Whether what was kept is deleted before each round, as it would only grow."""


def peer(library: str) -> Contender:
    return Contender(library, "peer", library)


OURS = Contender("ours", "ours")
REDIS_PY = Contender("redis-py", "peer")

ROWS = (
    Row("transport", "EVALSHA", (OURS, Contender("redis-py pool", "peer"), Contender("default pool", "peer")),
        bench_transport.TARGETS),
    Row("locks", "a lock for each task", (OURS, REDIS_PY), bench_locks.TARGETS, entries=COUNTED_TASKS),
    Row("locks", "one lock for all",
        (OURS, REDIS_PY, Contender("redis-py 1ms", "peer"), Contender("asyncio.Lock", "beside")), tasks=(50,)),
    *(Row("rate limits", kind,
          (OURS, *(peer(library) for library, kinds in bench_rate_limits.PEERS.items() if kind in kinds)),
          bench_rate_limits.TARGETS, entries=1000, flushed=True)
      for kind in bench_rate_limits.KINDS),
    *(Row("caches", what, (OURS, *map(peer, bench_caches.PEERS), Contender("redis-py GET", "beside")),
          bench_caches.TARGETS, entries=entries)
      for what, entries in (("a key for each task", COUNTED_TASKS), ("one key for all", 1))),
    *(Row("queues", what,
          (Contender("Queue", "ours"), Contender("PriorityQueue", "beside"), *map(peer, bench_queues.PEERS)),
          {50: target}, entries=entries, flushed=True)
      for what, target, entries in (("put", bench_queues.PUTS_RATIO, 1050), ("job", bench_queues.JOBS_RATIO, 0))),
    *(Row("leaderboards", what, (OURS, REDIS_PY, Contender("bare", "beside")), bench_boards.REDIS_PY, entries=100_000)
      for what in ("submit", "rank", "top(10)", "around(10)")),
    *(Row("sessions", what, (OURS, peer("starsessions"), Contender("redis-py", "beside")),
          bench_sessions.TARGETS, entries=COUNTED_TASKS)
      for what in ("load", "save")),
)  # fmt: skip

ROOMS = tuple(dict.fromkeys(row.room for row in ROWS))
LIBRARIES = tuple(dict.fromkeys(one.library for row in ROWS for one in row.contenders if one.library))
