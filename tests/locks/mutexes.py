"""The locks that one holder has at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aioredis_patterns.locks import FairLock, Lock, MultiLock, ReadWriteLock, Redlock, ReentrantLock, Semaphore

MUTEXES: dict[str, Callable[..., Any]] = {
    "Lock": Lock,
    "FairLock": FairLock,
    "ReentrantLock": ReentrantLock,
    "ReadWriteLock.write": lambda redis, name, lease: ReadWriteLock(redis, name, lease=lease).write(),
    "Redlock": lambda redis, name, lease: Redlock([redis], name, lease=lease),
    "Semaphore": lambda redis, name, lease: Semaphore(redis, name, permits=1, lease=lease),
    "MultiLock": lambda redis, name, lease: MultiLock(redis, [f"{name}:other", name], lease=lease),
}
"""Each takes `(redis, name, lease=...)`; later kinds join here."""
