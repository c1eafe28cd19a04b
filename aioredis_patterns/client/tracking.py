"""Reads that the server remembers, and tells of when what they read has changed.

What keeps copies in the process (a near cache, flags) reads through here. The read is sent right behind CLIENT CACHING
YES in one write, so only it is tracked, inside a script too, and the invalidation comes on the connection that the
read took: one that overtakes its reply is seen first. When the connection is lost nobody is told of changes any more,
so every listener is told to forget everything, as it is after FLUSHALL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.errors import TransportError
from aioredis_patterns.types import EventHook

from .lane import Greeting, Host, Lane
from .packing import pack_command
from .wire import Unanswered

__all__ = ("Invalidated", "Tracking")

Invalidated = Callable[[list[bytes] | None], None]
"""Told which keys changed; None when everything may have."""

_TRACK: Final = pack_command(("CLIENT", "TRACKING", "ON", "OPTIN"))
_THIS_READ: Final = pack_command(("CLIENT", "CACHING", "YES"))


class Tracking:
    """The tracked connection of a link.

    Promise: a listener hears of every change to a key after a `read` that touched it was sent, or hears None.

    Limit of the promise: between a change and its invalidation lies the way through the network. A connection that
    died without a sign is noticed when a read is due: `check` bounds that time.

    Args:
        make_lane: Makes a lane of RESP3 connections for its host, this one.
        greeting: What is sent first on every connection, before tracking is switched on.
        on_event: Told when the connection was lost and opened again.
    """

    rediscovers = False

    def __init__(
        self,
        make_lane: Callable[[Host], Lane],
        greeting: Callable[[Lane], Greeting],
        on_event: EventHook | None = None,
    ) -> None:
        self.on_event = on_event
        self.lane = make_lane(self)
        self._greeting = greeting
        self._tracks = False
        self._listeners: set[Invalidated] = set()

    def listen(self, listener: Invalidated) -> None:
        """Tell this listener of every invalidation from now on."""
        self._listeners.add(listener)

    def leave(self, listener: Invalidated) -> None:
        """Tell it no more."""
        self._listeners.discard(listener)

    async def read(self, packed: bytes, deadline: float, key: Any = "") -> Any:
        """Send a packed command that reads; the server remembers the keys it touched.

        Args:
            packed: The command.
            deadline: Seconds that it may take.
            key: Decides in a cluster which node is asked.

        Raises:
            TransportError: The server does not tell this client of changes.
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: There was no reply.
        """
        limit = await self.lane.room(deadline) if self.lane.full else deadline
        try:
            reply = await self.lane.submit_whole([_THIS_READ, packed], limit)
        except Unanswered as error:
            kind = RedisTimeoutError if error.expired else RedisConnectionError
            raise kind(f"tracked read: {error}") from self.lane.last_error
        if not self._tracks:
            raise TransportError("the server refuses CLIENT TRACKING to this client, so no copy can be kept of a read")
        return reply

    def check(self, deadline: float) -> None:
        """Ask for a sign of life: a connection that gives none within the deadline is dropped, and None is told."""
        self.lane.submit(pack_command(("PING",)), deadline).add_done_callback(self._checked)

    def _checked(self, sign: asyncio.Future[Any]) -> None:
        error = None if sign.cancelled() else sign.exception()
        if isinstance(error, Unanswered) and error.written and error.expired:
            self.lane.reset("it gave no sign of life")

    # What the lane asks and tells ------------------------------------------------------------------------------------

    def greeting(self, lane: Lane) -> Greeting:
        self._tracks = False
        return [*self._greeting(lane), (_TRACK, self._tracked)]

    def _tracked(self, _: Any) -> None:
        self._tracks = True

    def on_connected(self, lane: Lane) -> None: ...

    def on_disconnected(self, lane: Lane) -> None:
        self._tell(None)

    def on_push(self, lane: Lane, push: list[Any]) -> None:
        if push[0] == b"invalidate":
            self._tell(push[1])

    def _tell(self, keys: list[bytes] | None) -> None:
        for listener in tuple(self._listeners):
            listener(keys)
