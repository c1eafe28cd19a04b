"""Counters: how many, exactly or nearly, of everything or of what differs.

Which one do I want?

| I want | take | memory |
|---|---|---|
| a number that many processes add to, perhaps within bounds, perhaps for a while | `Counter` | 60 bytes |
| the same, so hot that one key is too slow; over all nodes of a cluster | `ShardedCounter` | 60 bytes a shard |
| how many different things there were, nearly | `UniqueCounter` | 12 kB a window |
| who was active on which day, exactly, and who came back | `Activity` | a bit for each member and day |
"""

from __future__ import annotations

from .activity import Activity, Cohort
from .counter import Counter
from .sharded_counter import ShardedCounter
from .unique_counter import Estimate, UniqueCounter

__all__ = ("Activity", "Cohort", "Counter", "Estimate", "ShardedCounter", "UniqueCounter")
