"""Tracked reads in a cluster: each on a connection to the node that owns the key, which tells of its own keys only."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, final

from redis.exceptions import ClusterError

from .cluster_blocking import Address, Owners, at_owner
from .lane import SWEEP
from .tracking import Invalidated, Tracking

__all__ = ("ClusterTracking", "TrackedNodes")


class TrackedNodes(Owners, Protocol):
    """Who knows which node owns a key, and how to read there."""

    def tracking_at(self, address: Address, told: Invalidated) -> Tracking: ...

    def all_tracking(self) -> list[Tracking]: ...


@final
class ClusterTracking:
    """The tracked connections of one cluster on one event loop; the same calls as `Tracking` has.

    Promise: that of `Tracking`. When a slot has a new owner, listeners hear None.

    Limit of the promise: a slot's move is noticed with the next command that goes to it. The move of a key that is
    there is told of at once; that a key was not there may be out of date until then.

    Args:
        nodes: Know who owns which slot.
    """

    def __init__(self, nodes: TrackedNodes) -> None:
        self._nodes = nodes
        self._listeners: set[Invalidated] = set()

    def listen(self, listener: Invalidated) -> None:
        """Tell this listener of every invalidation from now on."""
        self._listeners.add(listener)

    def leave(self, listener: Invalidated) -> None:
        """Tell it no more."""
        self._listeners.discard(listener)

    async def read(self, packed: bytes, deadline: float, key: Any = "") -> Any:
        """Send a packed command that reads to the owner of this key; the node remembers the keys it touched.

        Raises:
            TransportError: The node does not tell this client of changes.
            redis.exceptions.ClusterError: The key is on its way to another node.
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: There was no reply within the deadline.
        """
        loop = self._nodes.loop
        expires = loop.time() + deadline

        def attempt(address: Address, asking: bool) -> Awaitable[Any]:
            if asking:  # what follows ASKING is allowed, what follows CLIENT CACHING is tracked: it cannot be both
                raise ClusterError("the key is on its way to another node, so no copy can be kept of a read")
            left = max(round(expires - loop.time(), 2), SWEEP)
            return self._nodes.tracking_at(address, self.tell).read(packed, left)

        return await at_owner(self._nodes, key, attempt, deadline)

    def check(self, deadline: float) -> None:
        """Ask every node that was read for a sign of life; for one that gives none within the deadline None is told."""
        for tracking in self._nodes.all_tracking():
            tracking.check(deadline)

    def tell(self, keys: list[bytes] | None) -> None:
        """Tell every listener which keys changed; None when everything may have."""
        for listener in tuple(self._listeners):
            listener(keys)
