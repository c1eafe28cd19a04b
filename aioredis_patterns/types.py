"""The types that every room shares: durations, and the small Protocols by which rooms accept one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from redis.asyncio import Redis, RedisCluster

__all__ = ("AnyRedis", "Claimed", "Codec", "EventHook", "KeyPart", "ScriptOutcome", "Seconds", "Source")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Seconds: TypeAlias = float | timedelta
"""A duration: seconds as a number, or a timedelta."""

KeyPart: TypeAlias = str | int
"""What may stand in a key beside its name: a subject, a member, a cache key."""

AnyRedis: TypeAlias = Redis | RedisCluster
"""Any redis-py asyncio client."""

ScriptOutcome: TypeAlias = Literal["ok", "reloaded", "error", "unknown", "cancelled"]
"""How the call of a script ended."""


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


class Claimed(Protocol[T_co]):
    """What a consumer has in hand until it says what became of it: a message of a queue, an entry of a log."""

    attempt: int
    lost: bool
    on_loss: Callable[[], object] | None

    @property
    def id(self) -> str:
        """The same in every delivery."""
        ...

    @property
    def payload(self) -> T_co:
        """What is to be handled."""
        ...

    @property
    def headers(self) -> dict[str, str]:
        """What travelled beside it."""
        ...

    @property
    def key(self) -> str:
        """A key beside which the server keeps it; what is written with its end must lie in the same slot."""
        ...

    def keep(self) -> None:
        """Hold it until it is ended."""
        ...

    async def commit(self, keys: Sequence[str], commands: Sequence[str | bytes | int]) -> Any:
        """Execute commands and end it, in one step: 1, 0 when it had moved on, or why it is a dead letter."""
        ...

    async def done(self) -> None:
        """It was handled."""
        ...

    async def fail(self, error: BaseException, delay: Seconds = 0) -> None:
        """It was not; it may be tried again after so many seconds."""
        ...


class Source(Protocol[T_co]):
    """Where a worker gets what it is to handle."""

    name: str

    async def claim_many(self, count: int, timeout: Seconds | None = None) -> Sequence[Claimed[T_co]]:
        """Up to so many, as soon as there is one."""
        ...
