"""The types that every room shares: durations, and the small Protocols by which rooms accept one another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Protocol, TypeAlias, TypeVar

from redis.asyncio import Redis, RedisCluster

__all__ = ("AnyRedis", "Codec", "EventHook", "KeyPart", "Seconds")

T = TypeVar("T")

Seconds: TypeAlias = float | timedelta
"""A duration: seconds as a number, or a timedelta."""

KeyPart: TypeAlias = str | int
"""What may stand in a key beside its name: a subject, a member, a cache key."""

AnyRedis: TypeAlias = Redis | RedisCluster
"""Any redis-py asyncio client."""


class Codec(Protocol[T]):
    """Turns values into bytes and back.

    `decode` raises `CodecError` for bytes it cannot read, and never executes anything found in them.
    """

    content_type: str

    def encode(self, value: T) -> bytes:
        """The bytes of a value."""
        ...

    def decode(self, data: bytes) -> T:
        """The value of such bytes."""
        ...


class EventHook(Protocol):
    """A plain callable that is told what a pattern did, in one frozen dataclass of `aioredis_patterns.events`."""

    def __call__(self, event: Any, /) -> None: ...
