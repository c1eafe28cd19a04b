"""What the library keeps open for one pool on one event loop: its lanes, and the judgement of a call without answer."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.tasks import BackgroundTasks
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.types import EventHook

from .blocking import BlockingReads
from .dialing import Dialer
from .home import Home
from .lane import SWEEP, Greeting, Lane
from .packing import pack_command
from .subscriptions import Subscriptions
from .tracking import Tracking
from .wire import Unanswered

__all__ = ("DEADLINE", "Link", "RECOVERABLE", "Request", "tag_of", "verdict")

T = TypeVar("T")

DEADLINE = 5.0
"""Seconds that a call may take on a client that names no deadline."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2

_SUSPICIONS = 4
"""How often the connection may be lost over the reply to one call, as when it is more than the server will hold."""

_FINISHING = 1.0
"""Seconds that closing waits at most for what is to be finished first."""

RECOVERABLE: Final = (
    Unanswered,
    BusyLoadingError,
    ReadOnlyError,
    AskError,
    TryAgainError,
    ClusterDownError,
)
"""What a call may be answered with, or left without, that is not its last word."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command that did not get its answer at the first try: what is needed to judge it, or to send it again.

    Args:
        name: Of the command or script, for what the caller is told.
        packed: What to send again.
        expires: When the caller's deadline passes, on the event loop's clock.
        key: The key that decides where it goes.
        decode: Whether the strings of the reply are to be decoded.
        repeatable: Whether executing it twice does no harm.
    """

    name: str
    packed: bytes
    expires: float
    key: Any
    decode: bool = False
    repeatable: bool = False


class Link:
    """The lanes of one pool on one event loop.

    Args:
        make: Makes an unconnected connection to the server.
        deadline: Seconds that a call may take when it names none itself.
        lanes: How many connections share the commands; one key's commands always take the same.
        encoding: How strings of decoded replies are encoded; None when nothing is ever decoded.
        errors: What to do with bytes that do not decode.
        rediscovers: Whether a new connection may reach another server than the last, as with Sentinel.
        on_event: Told of every script that was called, and of lanes that were lost and opened again.
    """

    def __init__(
        self,
        make: Callable[[], AbstractConnection],
        *,
        deadline: float = DEADLINE,
        lanes: int = 1,
        encoding: str | None = None,
        errors: str = "strict",
        rediscovers: bool = False,
        on_event: EventHook | None = None,
    ) -> None:
        self.home = Home()
        self.loop = self.home.loop
        self.deadline = deadline
        self._make = make
        self.rediscovers, self.on_event = rediscovers, on_event
        self._encoding, self._errors = encoding, errors
        self.lanes = tuple(self._new_lane() for _ in range(lanes))
        self._lease_lane: Lane | None = None
        self._subscriptions: Subscriptions | None = None
        self._blocking: BlockingReads | None = None
        self._tracking: Tracking | None = None
        self.closings = 0  # how often it was closed: what is repeated behind the scenes ends with that
        self.companions: dict[Callable[[], Any], Any] = {}
        self._finishing = BackgroundTasks()

    def companion(self, kind: Callable[[], T]) -> T:
        """The one object of a class that a pattern keeps per client and event loop, made on first use."""
        found: T | None = self.companions.get(kind)
        if found is None:
            found = self.companions[kind] = kind()
        return found

    def finish(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run to its end in the background what a caller who is gone has left; closing waits a moment for it."""
        return self._finishing.start(coroutine, name)

    @property
    def subscriptions(self) -> Subscriptions:
        """The one subscription connection, which wakes all waiters."""
        if self._subscriptions is None:
            dialer = Dialer(self._make, timeout=self.deadline, protocol=3)
            self._subscriptions = Subscriptions(dialer, deadline=self.deadline)
        return self._subscriptions

    @property
    def blocking(self) -> BlockingReads:
        """The connections of blocking reads."""
        if self._blocking is None:
            self._blocking = BlockingReads(Dialer(self._make, timeout=self.deadline), deadline=self.deadline)
        return self._blocking

    @property
    def tracking(self) -> Tracking:
        """The connection of tracked reads, which tells of changes."""
        if self._tracking is None:
            dialer = Dialer(self._make, timeout=self.deadline, protocol=3, preloads=True)
            make_lane = partial(Lane, dialer=dialer, deadline=self.deadline)
            self._tracking = Tracking(make_lane, self.greeting, self.on_event)
        return self._tracking

    def _new_lane(self) -> Lane:
        dialer = Dialer(self._make, timeout=self.deadline, encoding=self._encoding, errors=self._errors, preloads=True)
        lane = Lane(self, dialer, deadline=self.deadline)
        dialer.before = partial(_end_former, lane)
        return lane

    def lane(self, key: Any) -> Lane:
        """The lane that carries this key's commands."""
        lanes = self.lanes
        return lanes[0] if len(lanes) == 1 else lanes[hash(tag_of(key)) % len(lanes)]

    def lease_lane(self, key: Any) -> Lane:
        """The lane of locks, renewals and other leases: no big reply and no backlog stands before them."""
        if self._lease_lane is None:
            self._lease_lane = self._new_lane()
        return self._lease_lane

    # What a lane asks of its host ------------------------------------------------------------------------------------

    def greeting(self, lane: Lane) -> Greeting:
        """First the end of the connection before, so that nothing it still buffers is executed after this."""
        commands: Greeting = []
        if lane.identity is not None:
            client_id, place = lane.identity
            if ":" in place:
                commands.append((pack_command(("CLIENT", "KILL", "ID", client_id, "ADDR", place)), None))
        commands.append((pack_command(("CLIENT", "INFO")), lambda info: _remember(lane, info)))
        return commands

    def on_push(self, lane: Lane, push: list[Any]) -> None: ...

    def on_connected(self, lane: Lane) -> None:
        """What is read tracked comes from the primary that is written to: the old one may not know that it was one."""
        if self.rediscovers and self._tracking is not None:
            self._tracking.lane.reset("the primary was found anew")

    def on_disconnected(self, lane: Lane) -> None: ...

    # A call that got no answer ---------------------------------------------------------------------------------------

    async def recover(self, error: Exception, lane: Lane, request: Request) -> Any:
        """Send again what was certainly not executed or may be repeated, until its deadline; else say what is known.

        Raises:
            OutcomeUnknownError: The command was written, its reply was lost, and repeating it could do it twice.
            redis.exceptions.ConnectionError: It was not executed.
            redis.exceptions.TimeoutError: It may have been executed, and may be repeated, or it was not executed.
            redis.exceptions.ResponseError: The server's last word.
        """
        pause, closings, suspicions, written = 0.0, self.closings, 0, False
        while True:
            if isinstance(error, Unanswered):
                suspicions += error.suspect
                written = error.written = error.written or written  # at any of the tries
            if suspicions == _SUSPICIONS and request.repeatable:
                raise RedisTimeoutError(f"{request.name}: its connection was lost {suspicions} times: {error}")
            lane, chunks = self._judge(error, lane, request)
            left = request.expires - self.loop.time() - pause
            if left <= 0:
                raise verdict(error, lane, request, written)
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            if closings != self.closings:
                raise verdict(Unanswered("the client was closed", written=written), lane, request)
            try:
                return await lane.submit_whole(chunks, max(round(left, 2), SWEEP), request.decode)
            except RECOVERABLE as again:
                error = again

    def _judge(self, error: Exception, lane: Lane, request: Request) -> tuple[Lane, list[bytes]]:
        """Where a request goes next, and as what; or what its caller is told."""
        if isinstance(error, Unanswered):
            if error.expired or (error.written and not request.repeatable):
                raise verdict(error, lane, request) from lane.last_error
        elif isinstance(error, ReadOnlyError):
            if not self.rediscovers:
                raise error
        elif not isinstance(error, BusyLoadingError | NoScriptError):
            raise error
        return lane, [request.packed]

    async def aclose(self) -> None:
        """Close every connection, as soon as what is to be finished is; a later call opens new ones."""
        try:
            await self._finish(_FINISHING)
        finally:
            await self._close()

    async def _finish(self, seconds: float) -> None:
        await self._finishing.wait(min(seconds, self.deadline))

    async def _close(self) -> None:
        self.closings += 1
        for lane in self.lanes:
            await lane.aclose()
        if self._lease_lane is not None:
            await self._lease_lane.aclose()
        if self._subscriptions is not None:
            await self._subscriptions.aclose()
        if self._blocking is not None:
            await self._blocking.aclose()
        if self._tracking is not None:
            await self._tracking.lane.aclose()


def verdict(error: Exception, lane: Lane, request: Request, written: bool = False) -> Exception:
    """What the caller of a call is told that got no answer in time; `written` is of an earlier try."""
    if isinstance(error, NoScriptError):
        return RedisTimeoutError(f"{request.name}: there was no time left to send its text")
    if not isinstance(error, Unanswered):
        return RedisTimeoutError(f"{request.name}: {error}") if written else error
    if error.written and not request.repeatable:
        return OutcomeUnknownError(request.name, error.reason)
    if not error.written and lane.last_error is not None:
        return RedisConnectionError(f"{lane.last_error} ({request.name} was {error.reason})")
    return RedisTimeoutError(f"{request.name}: {error.reason}")


def tag_of(key: Any) -> str:
    """What decides the lane of a key: its hash tag, or all of it."""
    if isinstance(key, bytes | bytearray | memoryview):
        key = bytes(key).decode("utf-8", "surrogateescape")  # as the same key would be, given as text
    text = str(key)
    start = text.find("{") + 1
    end = text.find("}", start)
    return text[start:end] if start and end > start else text


def _remember(lane: Lane, info: Any) -> None:
    text = info.decode("latin-1") if isinstance(info, bytes) else info
    fields = dict(part.split("=", 1) for part in text.split() if "=" in part)
    # After a restart of the server an id may be another's, and every client of a Unix socket has the same address.
    place = fields.get("addr", ":0")
    place = lane.server if place.endswith(":0") else place
    if "id" in fields and place:
        lane.identity = (fields["id"], place)


async def _end_former(lane: Lane, connection: AbstractConnection) -> None:
    """On a Unix socket, end the connection before, if this is still the server that it was made to."""
    if not isinstance(connection, UnixDomainSocketConnection):
        return  # the greeting does it, in no time of its own
    lane.server = await _run_of(connection)
    if lane.identity is not None and lane.identity[1] == lane.server:
        await connection.send_command("CLIENT", "KILL", "ID", lane.identity[0])
        with suppress(ResponseError):
            await connection.read_response()


async def _run_of(connection: AbstractConnection) -> str:
    """The name that a server gives itself at each start; nothing where this user may not ask for it."""
    await connection.send_command("INFO", "server")
    try:
        text: Any = await connection.read_response(disable_decoding=True)
    except ResponseError:
        return ""
    found = re.search(rb"run_id:(\w+)", text)
    return found[1].decode() if found else ""
