"""Blocking reads in a cluster: each on a connection of its own to the node that owns the key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol, TypeVar, final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from aioredis_patterns.errors import TransportError

from .blocking import BlockingReads
from .dialing import Dialer
from .routes import blocking_key

__all__ = ("Address", "ClusterReads", "Owners", "at_owner")

T = TypeVar("T")

Address = tuple[str, int]
"""Host and port of a node."""

_PAUSE: Final = 0.05
_NOT_EXECUTED: Final = (AskError, TryAgainError, ClusterDownError, RedisConnectionError)


class Owners(Protocol):
    """Who knows which node owns a key."""

    loop: asyncio.AbstractEventLoop
    deadline: float

    def address(self, key: Any) -> Address: ...

    def redirect(self, error: AskError, asked: Address) -> Address: ...

    def follow(self) -> None: ...

    def connection_to(self, address: Address) -> AbstractConnection: ...


async def at_owner(
    owners: Owners, key: Any, attempt: Callable[[Address, bool], Awaitable[T]], deadline: float | None = None
) -> T:
    """Do something at the node that owns a key, elsewhere when it is refused there, until the deadline.

    Args:
        owners: Knows who owns which slot.
        key: The key.
        attempt: Called with the node's address, and whether to say ASKING first.
        deadline: Seconds that it may take; the owners' when None.

    Returns:
        What the attempt gave that was not refused.
    """
    address, asking = owners.address(key), False
    limit = owners.deadline if deadline is None else deadline
    expires = owners.loop.time() + limit
    while True:
        began = owners.loop.time()
        try:
            return await attempt(address, asking)
        except _NOT_EXECUTED as error:
            now = owners.loop.time()
            if now - began > limit:
                expires = now + limit  # it was accepted, and refused after it had blocked
            if now >= expires:
                raise
            if isinstance(error, AskError):
                address, asking = owners.redirect(error, address), not isinstance(error, MovedError)
                continue
        owners.follow()
        await asyncio.sleep(_PAUSE)
        address, asking = owners.address(key), False


@final
class ClusterReads:
    """The blocking reads of one cluster on one event loop; the same call as `BlockingReads` has.

    Args:
        owners: Knows who owns which slot.
    """

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._nodes: dict[Address, BlockingReads] = {}

    async def call(self, *args: str | bytes | float, block: float | None) -> Any:
        """Send a blocking command to the owner of its key and wait for its reply, in which strings are bytes.

        A read that is refused because the slot moves was not executed, and is sent to the slot's new owner; it may
        block for its full time there.

        Args:
            args: The command, with its own time to block.
            block: The same time in seconds; None when the command may block for ever.

        Raises:
            TransportError: As many calls are under way as may be, or the command has no key.
            OutcomeUnknownError: The reply did not come, or the connection was lost before it did.
            redis.exceptions.ConnectionError: No connection could be opened within the deadline.
            redis.exceptions.ResponseError: The server refused the command.
        """
        key = blocking_key(args)
        if key is None:
            raise TransportError(f"{args[0]!r} does not block on a key")
        return await at_owner(
            self._owners, key, lambda at, asking: self._reads(at).call(*args, block=block, asking=asking)
        )

    async def write_and_wait(
        self, name: str, packed: bytes, key: str, *, replicas: int, wait_ms: int
    ) -> tuple[Any, int]:
        """Send a command that writes to the owner of its key, and WAIT behind it, as `BlockingReads` does."""

        async def attempt(address: Address, asking: bool) -> tuple[Any, int]:
            reads = self._reads(address)
            return await reads.write_and_wait(name, packed, key, replicas=replicas, wait_ms=wait_ms, asking=asking)

        return await at_owner(self._owners, key, attempt)

    def _reads(self, address: Address) -> BlockingReads:
        reads = self._nodes.get(address)
        if reads is None:
            patience = self._owners.deadline / 5  # for a node that may be gone for good
            dialer = Dialer(partial(self._owners.connection_to, address), timeout=patience)
            reads = self._nodes[address] = BlockingReads(dialer, deadline=patience)
        return reads

    async def retire(self) -> None:
        """Close the connections to the nodes on which nothing is under way."""
        for reads in self._nodes.values():
            if not reads.busy:
                await reads.aclose()

    async def aclose(self) -> None:
        """Close every connection; calls under way end with an error."""
        for reads in self._nodes.values():
            await reads.aclose()
