"""Locks: one holder at a time, over processes and machines.

Which one do I want?

| I want | take |
|---|---|
| one task at a time, anywhere | `Lock` |
| the same, and those who wait served strictly in the order in which they came | `FairLock` |
| the same, and code under the lock that may take it again | `ReentrantLock` |
| many readers together, or one writer alone | `ReadWriteLock` |
| one of many processes to do what only one may | `LeaderElection` |
| several locks at once, all of them or none | `MultiLock` |
| so many at a time, not one | `Semaphore` |
| to wait until so many have said that they are ready | `Latch` |
| so many that wait for one another, again and again | `Barrier` |
| that a holder who was overtaken cannot write any more | `FenceGuard` |
| one task at a time, though a server may fail with all it knows | `Redlock`, on three or five servers |
"""

from __future__ import annotations

from .barrier import Barrier, BarrierState
from .fair_lock import FairLock
from .guard import FenceGuard
from .latch import Latch
from .leader_election import LeaderElection
from .lease import Lease
from .lock import Lock
from .multi_lock import MultiLock
from .owner import LockOwner
from .read_write_lock import ReadWriteLock
from .redlock import Redlock
from .reentrant_lock import ReentrantLease, ReentrantLock
from .semaphore import Semaphore

__all__ = (
    "Barrier",
    "BarrierState",
    "FairLock",
    "FenceGuard",
    "Latch",
    "LeaderElection",
    "Lease",
    "Lock",
    "LockOwner",
    "MultiLock",
    "ReadWriteLock",
    "Redlock",
    "ReentrantLease",
    "ReentrantLock",
    "Semaphore",
)
