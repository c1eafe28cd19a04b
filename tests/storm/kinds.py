"""The locks that a storm is let loose on, and how many may be under each of them together."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from aioredis_patterns.locks import FairLock, Lock, MultiLock, ReadWriteLock, Redlock, ReentrantLock, Semaphore

__all__ = ("KINDS", "Attempt", "Make", "servers_of")

_PERMITS = 3


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one task is about to enter."""

    lock: Any
    names: Sequence[str]
    #: How many others may be under the same names meanwhile.
    beside: float = 0


Make = Callable[[Sequence[Redis], Sequence[str], float, random.Random], Attempt]
"""Makes an attempt on one of two names, or both of them, with a lease in seconds."""


def _alone(lock: Callable[..., Any]) -> Make:
    return lambda servers, names, lease, dice: Attempt(lock(servers[0], names[0], lease=lease), names[:1])


def _some(servers: Sequence[Redis], names: Sequence[str], lease: float, dice: random.Random) -> Attempt:
    return Attempt(Semaphore(servers[0], names[0], permits=_PERMITS, lease=lease), names[:1], _PERMITS - 1)


def _either_side(servers: Sequence[Redis], names: Sequence[str], lease: float, dice: random.Random) -> Attempt:
    lock = ReadWriteLock(servers[0], names[0], lease=lease)
    return Attempt(lock.read(), names[:1], math.inf) if dice.random() < 0.6 else Attempt(lock.write(), names[:1])


def _both(servers: Sequence[Redis], names: Sequence[str], lease: float, dice: random.Random) -> Attempt:
    names = sorted(set(names), key=lambda name: dice.random())
    return Attempt(MultiLock(servers[0], names, lease=lease), names)


def _on_all(servers: Sequence[Redis], names: Sequence[str], lease: float, dice: random.Random) -> Attempt:
    return Attempt(Redlock(servers, names[0], lease=lease), names[:1])


KINDS: dict[str, Make] = {
    "Lock": _alone(Lock),
    "FairLock": _alone(FairLock),
    "ReentrantLock": _alone(ReentrantLock),
    "ReadWriteLock": _either_side,
    "Semaphore": _some,
    "MultiLock": _both,
    "Redlock": _on_all,
}


def servers_of(kind: str) -> int:
    """How many servers this kind wants."""
    return 3 if kind == "Redlock" else 1
