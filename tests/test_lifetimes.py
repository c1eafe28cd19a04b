"""Lifetimes: the shortest one that can be said is one, and not none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns import Counter, Document, Feed, Record, UniqueCounter, UniqueSet

MILLISECOND = 0.001


@dataclass
class Profile:
    """What a record holds."""

    name: str


WRITES: dict[str, Callable[[Redis, str], Awaitable[Any]]] = {
    "Counter": lambda redis, name: Counter(redis, name, ttl=MILLISECOND).increment(),
    "UniqueCounter": lambda redis, name: UniqueCounter(redis, name, ttl=MILLISECOND).add("ada"),
    "UniqueSet": lambda redis, name: UniqueSet(redis, name, ttl=MILLISECOND).add("ada"),
    "Document.set": lambda redis, name: Document(redis, name, ttl=MILLISECOND).set("ada", 1),
    "Document.compare_and_set": lambda redis, name: Document(redis, name, ttl=MILLISECOND).compare_and_set(
        "ada", None, 1
    ),
    "Record.set": lambda redis, name: Record(redis, name, Profile, ttl=MILLISECOND).set("ada", Profile("Ada")),
    "Feed": lambda redis, name: Feed(redis, name, ttl=MILLISECOND).post("hello"),
}


@pytest.mark.parametrize("what", WRITES)
async def test_a_millisecond_is_not_for_ever(redis: Redis, name: str, what: str) -> None:
    """What was written with the shortest time to live has one, or is gone already."""
    await WRITES[what](redis, name)
    lives = {key: await redis.pttl(key) for key in await redis.keys(f"*{name}*")}
    assert -1 not in lives.values(), lives
