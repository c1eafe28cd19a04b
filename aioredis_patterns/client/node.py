"""The lanes to one node of a cluster, whose slots may go elsewhere at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from aioredis_patterns._core.tasks import stop

from .cluster_blocking import Address
from .dialing import Dialer
from .lane import Host, Lane
from .tracking import Tracking
from .wire import Wire

__all__ = ("MOMENT", "Node", "NodeLane")

MOMENT: Final = 0.2
"""Seconds that a client being closed waits for the replies under way."""


class NodeLane(Lane):
    """A lane to one node of a cluster, which gives back what it could not write.

    Args:
        host: Greets the server and hears its pushes.
        dialer: Opens connections, with back-off.
        address: Of the node.
        deadline: Seconds that a call may take when it names none itself.
        follow: Called when a connection is needed: the cluster may have changed.
        lease: Whether it is the lane of locks, renewals and other leases.
    """

    def __init__(
        self,
        host: Host,
        dialer: Dialer,
        address: Address,
        *,
        deadline: float,
        follow: Callable[[], None],
        lease: bool = False,
    ) -> None:
        super().__init__(host, dialer, deadline=deadline)
        self.address = address
        self.lease = lease
        self._follow = follow
        self._retiring = False

    @property
    def stuck(self) -> bool:
        """Whether commands wait for a connection that does not stand."""
        return self._wire is None and bool(self._outbox)

    @property
    def _awaited(self) -> list[asyncio.Future[Any]]:
        """The replies under way that somebody waits for."""
        return [] if self._wire is None else [reply for reply in self._wire.pending if not reply.done()]

    def give_back(self, reason: str) -> None:
        """Let the callers of what was not written find the node that has the slot now."""
        for batch in self._empty_outbox():
            batch.fail(reason, expired=False)
        while self._crowd:
            self._admit()  # they submit here, and are given back as well

    def retire(self) -> None:
        """Drop the connection as soon as nothing is under way on it."""
        busy = self._waited_for() or bool(self._awaited)
        self._retiring = busy or self._connecting is not None
        if not busy:
            self.reset("nothing was under way")

    async def settle(self) -> None:
        """Wait for the replies that are under way, a moment at most, and stop connecting for nobody."""
        if self._awaited:
            await asyncio.wait(self._awaited, timeout=MOMENT)
        connecting = self._connecting
        if connecting is not None and not self._waited_for():
            await stop(connecting)

    def _take(self, wire: Wire) -> None:
        super()._take(wire)
        if self._retiring and not self._outbox:
            self._retiring = False
            self.reset("nothing was under way any more")

    def _sweep(self) -> None:
        super()._sweep()
        if self._retiring and not self._sweeping:
            self.retire()

    def _connect(self) -> None:
        super()._connect()
        self._follow()


class Node:
    """The lanes to one server of a cluster; none of them connects before it has something to send.

    Args:
        make_lane: Makes one; told whether it is that of leases.
        lanes: How many connections share the commands that are no leases.
    """

    __slots__ = ("lanes", "lease_lane", "tracking")

    def __init__(self, make_lane: Callable[[bool], NodeLane], lanes: int) -> None:
        self.lanes = [make_lane(False) for _ in range(lanes)]
        self.lease_lane = make_lane(True)
        self.tracking: Tracking | None = None

    @property
    def all(self) -> list[NodeLane]:
        tracked = [] if self.tracking is None else [cast(NodeLane, self.tracking.lane)]
        return [*self.lanes, self.lease_lane, *tracked]

    def lane(self, number: int, *, lease: bool) -> NodeLane:
        """The lane of a slot."""
        return self.lease_lane if lease else self.lanes[number % len(self.lanes)]
