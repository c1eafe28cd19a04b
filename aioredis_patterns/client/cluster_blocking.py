"""Blocking reads in a cluster: each on a connection of its own to the node that owns the key."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, Protocol, final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from .blocking import BlockingReads
from .dialing import Dialer
from .routes import blocking_key

__all__ = ("Address", "ClusterReads", "Owners")

Address = tuple[str, int]
"""Host and port of a node."""

_PAUSE: Final = 0.05


class Owners(Protocol):
    """Who knows which node owns a key."""

    loop: asyncio.AbstractEventLoop
    deadline: float

    def address(self, key: Any) -> Address: ...

    def redirect(self, error: AskError, asked: Address) -> Address: ...

    def follow(self) -> None: ...

    def connection_to(self, address: Address) -> AbstractConnection: ...


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
        address, asking = self._owners.address(blocking_key(args)), False
        expires = self._owners.loop.time() + self._owners.deadline
        while True:
            try:
                return await self._reads(address).call(*args, block=block, asking=asking)
            except AskError as error:
                asking = not isinstance(error, MovedError)
                address = self._owners.redirect(error, address)
                if self._owners.loop.time() > expires + (block or 0):
                    raise
            except (TryAgainError, ClusterDownError):
                if self._owners.loop.time() > expires:
                    raise
                self._owners.follow()
                await asyncio.sleep(_PAUSE)
                address, asking = self._owners.address(blocking_key(args)), False

    def _reads(self, address: Address) -> BlockingReads:
        reads = self._nodes.get(address)
        if reads is None:
            dialer = Dialer(partial(self._owners.connection_to, address), timeout=self._owners.deadline)
            reads = self._nodes[address] = BlockingReads(dialer, deadline=self._owners.deadline)
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
