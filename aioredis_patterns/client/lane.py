"""A lane: one connection for many callers, that outlives the sockets under it.

Commands submitted in one turn of the event loop leave in one write. A command that was not written yet waits for the
reconnect, or for room while the server stalls; one that was written and lost its reply is told so and never sent
again by the lane. Every call has a deadline, kept by one sweeper per lane over one deque per deadline value, so a
call costs no timer, no task and no shield.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.tasks import stop
from aioredis_patterns.types import EventHook

from .batch import Batch, refuse
from .dialing import Dialer
from .home import Home
from .wire import Wire

__all__ = (
    "ADMITTED",
    "BACKLOG_BYTES",
    "BATCH_BYTES",
    "Greeting",
    "Host",
    "IN_FLIGHT",
    "LONGEST_PATIENCE",
    "Lane",
    "LaneStatistics",
    "PATIENCE",
    "SWEEP",
    "forget",
)

SWEEP = 0.02
"""Seconds between two looks at the deadlines."""

BATCH_BYTES = 64 * 1024
"""A batch that has grown to this size takes no further command."""

IN_FLIGHT = 16_384
"""Commands written and not answered, above which further ones wait."""

BACKLOG_BYTES = 32 * 1024 * 1024
"""Bytes waiting to be written, above which new callers wait before they pack their command."""

ADMITTED = 16
"""Waiting callers let in at a time."""

PATIENCE = 1.0
"""Seconds of silence that a connection is granted at least: a short deadline is the caller's, not the connection's."""

LONGEST_PATIENCE = 30.0
"""Seconds of silence beyond which not even a call that may take longer keeps a connection."""

Greeting = list[tuple[bytes, "Callable[[Any], None] | None"]]
"""Packed commands to send first on a new connection, each with what takes its reply."""


class Host(Protocol):
    """Who owns a lane: says how to greet a server, and hears what it pushes."""

    rediscovers: bool
    """Whether a new connection may reach another server than the last, as with Sentinel."""

    on_event: EventHook | None
    """Told `Reconnected`."""

    def greeting(self, lane: Lane) -> Greeting: ...

    def on_push(self, lane: Lane, push: list[Any]) -> None: ...

    def on_connected(self, lane: Lane) -> None: ...

    def on_disconnected(self, lane: Lane) -> None: ...


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """What a lane holds at this moment."""

    connected: bool
    connections: int  #: opened so far
    in_flight: int  #: commands written and not answered
    waiting: int  #: commands not written yet
    waiting_bytes: int  #: their size
    outside: int  #: callers that wait before they pack their command


class Lane:
    """Carries the commands of many callers over one connection.

    Args:
        host: Greets the server and hears its pushes.
        dialer: Opens connections, with back-off.
        deadline: Seconds that a call may take when it names none itself.
    """

    def __init__(self, host: Host, dialer: Dialer, *, deadline: float) -> None:
        self.home = Home()
        self.loop = self.home.loop
        self.deadline = deadline
        self.expires = 0.0  # when the call submitted last gives up, on the loop's clock
        self.full = False  # callers have to wait for `room` before they submit
        # Id of the connection, and its address as the server knows it; on a Unix socket the run of the server instead.
        self.identity: tuple[str, str] | None = None
        self.server = ""  # that run
        self._host, self._dialer = host, dialer
        # Half the cost of loop.create_future(), which is a method around the same call.
        self._new_future: Callable[[], asyncio.Future[Any]] = partial(asyncio.Future, loop=self.loop)
        self._wire: Wire | None = None
        self._finalizer: weakref.finalize[[], Lane] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._open: Batch | None = None
        self._outbox: deque[Batch] = deque()
        self._watched: dict[float, deque[Batch]] = {}
        self._crowd: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._sweeping = self._scheduled = False
        self._backlog = 0
        self._last_flush = 0
        self._connections = 0
        self._resets = 0
        self._lost = False  # and not opened again

    # Submitting ------------------------------------------------------------------------------------------------------

    def submit(self, packed: bytes, deadline: float, decode: bool = False) -> asyncio.Future[Any]:
        """Send a packed command with the others of this turn; the future gets its reply, or `Unanswered`."""
        batch = self._open
        if batch is None or batch.deadline is not deadline or batch.decode is not decode or batch.size > BATCH_BYTES:
            batch = self._new_batch(deadline, decode)
            self.expires = batch.expires
        future = self._new_future()
        batch.futures.append(future)
        batch.chunks.append(packed)
        batch.size += len(packed)
        if not self._scheduled:
            self._schedule()
        return future

    def submit_whole(self, chunks: list[bytes], deadline: float, decode: bool = False) -> asyncio.Future[Any]:
        """Send several commands in one contiguous write; the future gets the last one's reply."""
        batch = self._new_batch(deadline, decode)
        self.expires = batch.expires
        future = self._new_future()
        for _ in chunks[1:]:
            batch.futures.append(self._new_future())
            forget(batch.futures[-1])
        batch.futures.append(future)
        batch.chunks = chunks
        batch.size = sum(map(len, chunks))
        batch.whole = True
        self._close_batch()
        if not self._scheduled:
            self._schedule()
        return future

    async def room(self, deadline: float) -> float:
        """Wait until the backlog has shrunk; gives the seconds that are left of the deadline.

        Raises:
            redis.exceptions.TimeoutError: The server took nothing in for so long.
            redis.exceptions.ConnectionError: The client was closed.
        """
        expires = self.loop.time() + deadline
        waiter = self._new_future()
        forget(waiter)
        self._crowd[waiter] = None
        try:
            async with asyncio.timeout_at(expires):
                await waiter
        except BaseException as error:
            self._leave_crowd(waiter)
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError(f"not sent within {deadline:g} s") from None
            raise
        return max(round(expires - self.loop.time(), 2), SWEEP)

    def _leave_crowd(self, waiter: asyncio.Future[None]) -> None:
        if waiter in self._crowd:
            del self._crowd[waiter]
        else:
            self._admit()  # it had been let in: its place goes to the next one

    def _new_batch(self, deadline: float, decode: bool) -> Batch:
        self._close_batch()
        batch = self._open = Batch(deadline, self.loop.time() + deadline, decode)
        self._outbox.append(batch)
        self._watched.setdefault(deadline, deque()).append(batch)
        if not self._sweeping:
            self._sweeping = True
            self.loop.call_later(SWEEP, self._sweep)
        return batch

    def _close_batch(self) -> None:
        """No command joins the open batch any more; its bytes count from now on."""
        if self._open is not None:
            self._backlog += self._open.size
            self.full = self._backlog > BACKLOG_BYTES
            self._open = None

    # Writing ---------------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        wire = self._wire
        if wire is not None and self._last_flush < 2 and not wire.pending:
            self._flush()  # a lone caller need not wait a turn for company
        else:
            self._scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        self._close_batch()
        wire = self._wire
        if wire is None:
            self._connect()
            return
        outbox, sent = self._outbox, 0
        while outbox and wire.writable and len(wire.pending) < IN_FLIGHT:
            batch = outbox.popleft()
            self._backlog -= batch.size
            sent += batch.write_to(wire)
        self._last_flush = sent
        wire.starved = bool(outbox)
        if self._crowd or self.full:
            self._admit()

    def _admit(self) -> None:
        self.full = self._backlog > BACKLOG_BYTES
        for _ in range(0 if self.full else min(ADMITTED, len(self._crowd))):
            waiter, _ = self._crowd.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)

    def _turn_away(self, error: Exception) -> None:
        """End the wait of everybody who was not let in yet."""
        crowd, self._crowd = self._crowd, OrderedDict()
        refuse(crowd, error)
        self._admit()

    def _empty_outbox(self) -> deque[Batch]:
        self._close_batch()
        outbox, self._outbox, self._backlog = self._outbox, deque(), 0
        return outbox

    # Deadlines -------------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        self._close_batch()  # what is no longer watched takes no further call
        now = self.loop.time()
        patience = max(PATIENCE, self.deadline, min(max(self._watched, default=0), LONGEST_PATIENCE))
        for deadline, batches in list(self._watched.items()):
            while batches and (batches[0].finished() or batches[0].expires <= now):
                self._expire(batches.popleft())
            if not batches:
                del self._watched[deadline]
        wire = self._wire
        if wire is not None and wire.pending and now - wire.quiet_since >= patience:
            wire.abort(f"the server was silent for {patience:g} s")
        self._sweeping = bool(self._watched) or (wire is not None and bool(wire.pending))
        if self._sweeping:
            self.loop.call_later(SWEEP, self._sweep)

    def _expire(self, batch: Batch) -> None:
        limit = "the time that was left" if batch.whole else f"{batch.deadline:g} s"
        batch.fail(f"{'not sent' if batch.wire is None else 'no reply'} within {limit}", expired=True)

    # The connection --------------------------------------------------------------------------------------------------

    @property
    def last_error(self) -> Exception | None:
        """Why the latest attempt to connect failed; None when it succeeded."""
        return self._dialer.last_error

    def statistics(self) -> LaneStatistics:
        """Count what is under way."""
        return LaneStatistics(
            connected=self._wire is not None,
            connections=self._connections,
            in_flight=len(self._wire.pending) if self._wire is not None else 0,
            waiting=sum(len(batch.chunks) for batch in self._outbox),
            waiting_bytes=sum(batch.size for batch in self._outbox),
            outside=len(self._crowd),
        )

    def _connect(self) -> None:
        if self._connecting is None:
            context = contextvars.Context()
            # Not by the loop's factory: an eager one may end the task before it is remembered as connecting.
            self._connecting = asyncio.Task(self._dial(), loop=self.loop, name="redis lane connecting", context=context)
            self._connecting.add_done_callback(self._dialled)

    async def _dial(self) -> None:
        resets = self._resets
        try:
            wire = await self._dialer.dial(self, self._waited_for)
        except Exception as error:  # noqa: BLE001 - refused for good: nobody has to wait for the deadline to hear of it
            self._refuse_all(error)
        else:
            if wire is not None and resets != self._resets:
                wire.abort("it was to be dropped before it stood")
            elif wire is not None:
                self._take(wire)

    def _dialled(self, _: asyncio.Task[None]) -> None:
        """Who waits still gets a connection, whoever has cancelled the connecting."""
        self._connecting = None
        if self._waited_for():
            self._flush()

    def _waited_for(self) -> bool:
        self._close_batch()  # what is dropped here is joined by nobody
        while self._outbox and self._outbox[0].finished():
            self._backlog -= self._outbox.popleft().size
        if self.full:
            self._admit()
        return bool(self._outbox) or bool(self._crowd)

    def _take(self, wire: Wire) -> None:
        self._wire = wire
        self._connections += 1
        if self._lost and self._host.on_event is not None:
            self._dialer.tell_reconnected(self._host.on_event)
        self._lost = False
        self._finalizer = weakref.finalize(self, wire.abandon)
        wire.starved = True  # what waited so long may be waited for no more
        greeting = self._host.greeting(self)
        futures = [self._handing_to(take) for _, take in greeting]
        wire.send(b"".join(packed for packed, _ in greeting), futures, decode=False)
        wire.greeted = wire.sent
        self._host.on_connected(self)

    def _handing_to(self, take: Callable[[Any], None] | None) -> asyncio.Future[Any]:
        def done(future: asyncio.Future[Any]) -> None:
            # A greeting that the server refuses is a service less, not a connection less.
            if future.exception() is None and take is not None:
                take(future.result())

        future = self._new_future()
        future.add_done_callback(done)
        return future

    def _refuse_all(self, error: Exception) -> None:
        for batch in self._empty_outbox():
            refuse(batch.futures, error)
        self._turn_away(error)

    def reset(self, reason: str) -> None:
        """Drop the connection, also one that is being opened; the next command opens another."""
        self._resets += 1
        if self._wire is not None:
            self._wire.abort(reason)

    async def aclose(self) -> None:
        """Drop the connection and end every call; a later call opens a new one."""
        reason = "the client was closed"
        if self._wire is not None:
            self._wire.abort(reason, final=True)
        self._lost = False
        for batch in self._empty_outbox():
            batch.fail(reason, expired=True)
        self._turn_away(RedisConnectionError(reason))
        if self._connecting is not None:
            await stop(self._connecting)

    # What the wire tells ---------------------------------------------------------------------------------------------

    def on_push(self, push: list[Any]) -> None:
        self._host.on_push(self, push)

    def on_room(self) -> None:
        self._flush()

    def on_woken(self) -> None:
        if self._open is not None:
            self._flush()

    def on_demoted(self, wire: Wire) -> None:
        if wire is self._wire and self._host.rediscovers:
            self._forget_wire()
            wire.retire()
            self.loop.call_later(self.deadline, wire.abort, "the primary has become a replica")

    def on_lost(self, wire: Wire, reason: str) -> None:
        if wire is not self._wire:
            return
        self._forget_wire()
        if self._outbox:
            self._connect()

    def _forget_wire(self) -> None:
        self._wire, self._lost = None, True
        if self._finalizer is not None:
            self._finalizer.detach()
        self._host.on_disconnected(self)


def forget(future: asyncio.Future[Any]) -> None:
    """Nobody waits for this reply, and nobody is told when it is an error."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
