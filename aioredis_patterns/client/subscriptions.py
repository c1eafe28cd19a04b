"""The one subscription connection of a client: a message from the server wakes the local tasks that wait for it.

A pattern whose release wakes waiters publishes inside its own script. Here the waiters of one client listen, however
many they are, on one connection: it is opened when the first listener comes, opened again when it is lost, and closed
when nobody has listened for a while. What was published while it was away is lost, so after a reconnect every bell
rings and its owner looks for itself.

Two ways to be reached: a channel of your own choice, which all clients that listen to it hear; or the client's
`inbox`, a channel of this client alone, where the message names the topic whose listeners are woken. A script that
knows the inbox of whoever waits longest wakes that one client and no other, and the inbox costs one SUBSCRIBE however
many topics there are.
"""

from __future__ import annotations

import asyncio
import contextvars
import secrets
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns._core.tasks import stop

from .dialing import Dialer
from .lane import forget
from .packing import pack_command
from .wire import Unanswered, Wire

__all__ = ("Bell", "HEARTBEAT", "IDLE", "Subscriptions")

HEARTBEAT: Final = 5.0
"""Seconds between two signs of life that are asked of the server, and how long it may be silent."""

IDLE: Final = 10.0
"""Seconds without a listener after which the connection is closed."""


@final
class Bell:
    """Rings when a message came, or when one may have been missed; one task waits for it at a time.

    It stays rung until somebody has waited for it, so a message that comes while its owner is busy is not lost.
    """

    __slots__ = ("_waiter", "rung")

    def __init__(self) -> None:
        self.rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the owner, or let its next wait return at once."""
        self.rung = True
        if self._waiter is not None:
            _settle(self._waiter)

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until it rings, at most so many seconds; whether it did. The bell is silent afterwards."""
        if not self.rung:
            loop = asyncio.get_running_loop()
            self._waiter = waiter = loop.create_future()
            timer = None if timeout is None else loop.call_later(timeout, _settle, waiter)
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        rung, self.rung = self.rung, False
        return rung


@final
class _Station:
    """A channel that somebody listens to."""

    __slots__ = ("bells", "channel", "interrupted", "ready")

    def __init__(self, channel: bytes) -> None:
        self.channel = channel
        self.bells: dict[bytes | None, set[Bell]] = {}  # by topic; under None those that every message rings
        self.interrupted = False  # messages may have been missed
        self.ready = _new_promise()  # done when the server has confirmed the subscription

    def ring(self, topics: Iterable[bytes | None]) -> None:
        for topic in topics:
            for bell in tuple(self.bells.get(topic, ())):
                bell.ring()


@final
class Subscriptions:
    """The listeners of one client on one event loop.

    Args:
        dialer: Opens RESP3 connections, with back-off.
        deadline: Seconds that entering `listen` may take.
    """

    def __init__(self, dialer: Dialer, *, deadline: float) -> None:
        self.inbox = f"{PREFIX}:inbox:{secrets.token_hex(8)}"
        self._loop = asyncio.get_running_loop()
        self._dialer = dialer
        self._deadline = deadline
        self._stations: dict[bytes, _Station] = {}
        self._listeners = 0
        self._wire: Wire | None = None
        self._finalizer: weakref.finalize[[], Subscriptions] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._silent_since = 0.0  # when the last listener left

    @property
    def connected(self) -> bool:
        """Whether the connection stands at this moment."""
        return self._wire is not None

    @property
    def listened_to(self) -> bool:
        """Whether anybody listens."""
        return self._listeners > 0

    # Listening -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def listen(self, channel: str, topic: str | None = None, bell: Bell | None = None) -> AsyncIterator[Bell]:
        """Enter once the server has confirmed the subscription; from then on no message is missed unnoticed.

        All local listeners of a channel share one SUBSCRIBE, and the last one to leave ends it.

        Args:
            channel: What to subscribe to: the `inbox`, or any name.
            topic: The message that rings the bell; every message does when None.
            bell: The bell to ring; a new one when None.

        Raises:
            redis.exceptions.NoPermissionError: The server refuses the subscription.
            redis.exceptions.ConnectionError, redis.exceptions.TimeoutError: There was no subscription within the
                deadline.
        """
        bell = Bell() if bell is None else bell
        wanted = None if topic is None else topic.encode()
        station = self._join(channel.encode(), wanted, bell)
        try:
            ready = station.ready  # another takes its place when the connection is lost before this task goes on
            if not ready.done():
                await self._confirmed(ready)
            ready.result()
            yield bell
        finally:
            self._leave(station, wanted, bell)

    def _join(self, channel: bytes, topic: bytes | None, bell: Bell) -> _Station:
        station = self._stations.get(channel)
        if station is None:
            station = self._stations[channel] = _Station(channel)
            if self._wire is not None:
                self._subscribe([station])
        station.bells.setdefault(topic, set()).add(bell)
        self._listeners += 1
        if self._wire is None:
            self._connect()
        return station

    async def _confirmed(self, ready: asyncio.Future[None]) -> None:
        done, _ = await asyncio.wait((ready,), timeout=self._deadline)
        if done:
            return
        if self._dialer.last_error is not None:
            raise RedisConnectionError(f"no subscription within {self._deadline:g} s: {self._dialer.last_error}")
        raise RedisTimeoutError(f"no subscription within {self._deadline:g} s")

    def _leave(self, station: _Station, topic: bytes | None, bell: Bell) -> None:
        bells = station.bells[topic]
        bells.discard(bell)
        if not bells:
            del station.bells[topic]
        self._listeners -= 1
        if not self._listeners:
            self._silent_since = self._loop.time()
        # The inbox is kept for the next waiter: it ends with the connection.
        if not station.bells and station.channel != self.inbox.encode() and self._drop(station):
            self._send("UNSUBSCRIBE", [station.channel])

    def _drop(self, station: _Station) -> bool:
        """Forget a station; whether it was still the one of its channel."""
        current = self._stations.get(station.channel) is station
        if current:
            del self._stations[station.channel]
        return current

    # Talking to the server -------------------------------------------------------------------------------------------

    def _subscribe(self, stations: list[_Station]) -> None:
        futures = self._send("SUBSCRIBE", [station.channel for station in stations])
        for station, future in zip(stations, futures, strict=True):
            future.add_done_callback(partial(self._answered, station))

    def _send(self, command: str, channels: list[bytes]) -> list[asyncio.Future[Any]]:
        """Send a command for each channel. What answers it is a push, or an error in the place of a reply."""
        if self._wire is None or not channels:
            return []
        futures: list[asyncio.Future[Any]] = [_new_promise() for _ in channels]
        self._wire.send(b"".join(pack_command((command, channel)) for channel in channels), futures, decode=False)
        return futures

    def _answered(self, station: _Station, answer: asyncio.Future[Any]) -> None:
        error = answer.exception()
        if error is None:
            _settle(station.ready)
            if station.interrupted:
                station.interrupted = False
                station.ring(tuple(station.bells))
        elif not isinstance(error, Unanswered):  # without an answer it is asked for again after the reconnect
            self._drop(station)
            _settle(station.ready, error)

    def on_push(self, push: list[Any]) -> None:
        kind, channel = push[0], push[1]
        if kind == b"message":
            if (station := self._stations.get(channel)) is not None:
                station.ring((push[2], None))
        elif kind in (b"subscribe", b"unsubscribe") and self._wire is not None and self._wire.pending:
            _settle(self._wire.pending.popleft())

    def on_room(self) -> None: ...

    def on_woken(self) -> None: ...

    def on_demoted(self, wire: Wire) -> None: ...

    # The connection --------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._connecting is None:
            context = contextvars.Context()
            # Not by the loop's factory: an eager one may end the task before it is remembered as connecting.
            self._connecting = asyncio.Task(self._dial(), loop=self._loop, name="redis subscribing", context=context)
            self._connecting.add_done_callback(self._dialled)

    async def _dial(self) -> None:
        try:
            wire = await self._dialer.dial(self, lambda: self._listeners > 0)
        except Exception as error:  # noqa: BLE001 - refused for good: nobody has to wait for the deadline to hear of it
            self._refuse_all(error)
        else:
            if wire is not None:
                self._take(wire)

    def _dialled(self, _: asyncio.Task[None]) -> None:
        self._connecting = None
        if self._wire is None and any(station.bells for station in self._stations.values()):
            self._connect()

    def _take(self, wire: Wire) -> None:
        self._wire = wire
        self._finalizer = weakref.finalize(self, wire.abandon)
        self._silent_since = self._loop.time()
        self._subscribe(list(self._stations.values()))
        self._loop.call_later(HEARTBEAT, _look_after, weakref.ref(self), wire)

    def beat(self, wire: Wire) -> bool:
        """Close what nobody uses, drop what is dead, ask the rest for a sign of life; whether to look again."""
        if wire is not self._wire:
            return False
        now = self._loop.time()
        if not self._listeners and now - self._silent_since >= IDLE:
            self._hang_up("nobody listens")
        elif wire.pending and now - wire.quiet_since >= HEARTBEAT:
            wire.abort(f"the server was silent for {HEARTBEAT:g} s")
        else:
            sign: asyncio.Future[Any] = _new_promise()
            wire.send(pack_command(("PING",)), [sign], decode=False)
        return wire is self._wire

    def on_lost(self, wire: Wire, reason: str) -> None:
        if wire is not self._wire:
            return
        self._wire = None
        if self._finalizer is not None:
            self._finalizer.detach()
        for station in tuple(self._stations.values()):
            station.interrupted = True
            if not station.bells:
                self._drop(station)
            elif station.ready.done():
                station.ready = _new_promise()
        if self._listeners:
            self._connect()

    def _refuse_all(self, error: Exception) -> None:
        for station in tuple(self._stations.values()):
            self._drop(station)
            _settle(station.ready, error)
            station.ring(tuple(station.bells))

    def _hang_up(self, reason: str) -> None:
        wire, self._wire = self._wire, None
        if self._finalizer is not None:
            self._finalizer.detach()
        if wire is not None:
            wire.abort(reason)
        self._stations.clear()

    async def aclose(self) -> None:
        """Close the connection and wake every listener; who listens anew opens another."""
        self._refuse_all(RedisConnectionError("the client was closed"))
        self._hang_up("the client was closed")
        if self._connecting is not None:
            await stop(self._connecting)


def _look_after(reference: Callable[[], Subscriptions | None], wire: Wire) -> None:
    # Held weakly: a client that was forgotten is not kept alive by its own timer.
    subscriptions = reference()
    if subscriptions is not None and subscriptions.beat(wire):
        asyncio.get_running_loop().call_later(HEARTBEAT, _look_after, reference, wire)


def _new_promise() -> asyncio.Future[Any]:
    """A future whose exception nobody has to fetch."""
    future = asyncio.get_running_loop().create_future()
    forget(future)
    return future


def _settle(future: asyncio.Future[Any], error: BaseException | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
