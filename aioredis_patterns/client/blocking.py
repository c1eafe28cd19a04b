"""Blocking reads on connections of their own.

A command that waits on the server holds its connection for as long, so it can share none. Each call has one to
itself, taken from a small cache of idle ones; a call that is cancelled, or gets no answer in time, closes its
connection, since the reply may be under way. There is a most that may be open: one more call is an error at once,
never a caller that hangs.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast, final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from aioredis_patterns.errors import OutcomeUnknownError, TransportError

from .dialing import Dialer
from .lane import forget
from .packing import pack_command
from .wire import Unanswered, Wire

__all__ = ("BlockingReads", "IDLE", "KEPT", "MARGIN")

MARGIN: Final = 1.0
"""Seconds that a reply may be late after the command has blocked for its full time."""

KEPT: Final = 8
"""Idle connections that are kept for the next call."""

IDLE: Final = 30.0
"""Seconds after which an idle connection is closed."""

_ASKING: Final = pack_command(("ASKING",))


@final
class _Line:
    """One connection; the owner of its wire."""

    __slots__ = ("__weakref__", "idle_since", "lost", "wire")

    wire: Wire

    def __init__(self) -> None:
        self.lost = False
        self.idle_since = 0.0

    def on_push(self, push: list[Any]) -> None: ...

    def on_room(self) -> None: ...

    def on_woken(self) -> None: ...

    def on_demoted(self, wire: Wire) -> None:
        wire.retire()  # dropped once its caller has been told
        self.lost = True

    def on_lost(self, wire: Wire, reason: str) -> None:
        self.lost = True

    def close(self) -> None:
        if not self.lost:
            self.wire.abort("closed")


@final
class BlockingReads:
    """The blocking reads of one client on one event loop.

    Args:
        dialer: Opens connections, with back-off.
        deadline: Seconds that opening a connection may take.
        limit: How many calls may be under way at the same time.
    """

    def __init__(self, dialer: Dialer, *, deadline: float, limit: int = 100) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialer = dialer
        self._deadline = deadline
        self._limit = limit
        self._idle: deque[_Line] = deque()  # the one used last is at the right
        self._lines: set[_Line] = set()
        self._under_way = 0
        self._trimming: asyncio.TimerHandle | None = None
        weakref.finalize(self, _abandon, self._lines)

    async def call(self, *args: str | bytes | float, block: float | None, asking: bool = False) -> Any:
        """Send a blocking command and wait for its reply, in which strings are bytes.

        Args:
            args: The command, with its own time to block.
            block: The same time in seconds; None when the command may block for ever.
            asking: Say ASKING first, in the same write: the slot is on its way to this node.

        Raises:
            TransportError: As many calls are under way as may be.
            OutcomeUnknownError: The reply did not come, or the connection was lost before it did.
            redis.exceptions.ConnectionError: No connection could be opened within the deadline.
            redis.exceptions.ResponseError: The server refused the command.
        """
        patience = None if block is None else block + MARGIN
        (reply,) = await self._ask(str(args[0]), [pack_command(args)], patience, asking)
        return reply

    async def write_and_wait(
        self, name: str, packed: bytes, key: str, *, replicas: int, wait_ms: int, asking: bool = False
    ) -> tuple[Any, int]:
        """Send a command that writes, and WAIT behind it in the same write: WAIT counts its own connection's writes.

        Args:
            name: Of the command, for what the caller is told.
            packed: The command.
            key: Its key, which tells the node in a cluster.
            replicas: How many have to have it before the time is over.
            wait_ms: For how long they are waited for.
            asking: Say ASKING first.

        Returns:
            The command's reply, and how many replicas have what it wrote.

        Raises:
            As `call` does.
        """
        wait = pack_command(("WAIT", replicas, wait_ms))
        reply, reached = await self._ask(name, [packed, wait], wait_ms / 1000 + MARGIN, asking)
        return reply, 0 if isinstance(reached, ResponseError) else reached  # it is no primary any more

    async def _ask(self, name: str, commands: list[bytes], patience: float | None, asking: bool) -> list[Any]:
        """Send commands in one write on a connection that nobody else has meanwhile; their replies."""
        if self._under_way >= self._limit:
            raise TransportError(f"{self._limit} blocking reads are under way, and no more may be at the same time")
        self._under_way += 1
        try:
            line = self._take_idle() or await self._open()
            return await self._ask_on(line, name, commands, patience, asking)
        finally:
            self._under_way -= 1

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._under_way > 0

    def _take_idle(self) -> _Line | None:
        while self._idle:
            line = self._idle.pop()
            if not line.lost:
                return line
            self._lines.discard(line)
        return None

    async def _open(self) -> _Line:
        line = _Line()
        try:
            async with asyncio.timeout(self._deadline):
                line.wire = cast(Wire, await self._dialer.dial(line, lambda: True))
        except TimeoutError:
            error = self._dialer.last_error
            message = f"no connection for a blocking read within {self._deadline:g} s: {error}"
            raise RedisConnectionError(message) from error
        self._lines.add(line)
        return line

    async def _ask_on(
        self, line: _Line, name: str, commands: list[bytes], patience: float | None, asking: bool
    ) -> list[Any]:
        chunks = [_ASKING, *commands] if asking else commands
        replies: list[asyncio.Future[Any]] = [self._loop.create_future() for _ in chunks]
        for reply in replies:
            forget(reply)  # those behind one that is refused are not fetched
        try:
            line.wire.send(b"".join(chunks), list(replies), decode=False)
            async with asyncio.timeout(patience):
                first, *others = replies[-len(commands) :]
                answers = [await first, *[await _said(other) for other in others]]
        except ResponseError:
            self._keep(line)
            raise
        except (Unanswered, TimeoutError) as error:
            self._close(line)
            raise OutcomeUnknownError(name, str(error) or f"no reply within {patience:g} s") from error
        except BaseException:
            self._close(line)
            raise
        self._keep(line)
        return answers

    def _keep(self, line: _Line) -> None:
        line.idle_since = self._loop.time()
        self._idle.append(line)
        if len(self._idle) > KEPT:
            self._close(self._idle.popleft())
        if self._trimming is None:
            self._trimming = self._loop.call_later(IDLE, _trim, weakref.ref(self))

    def _close(self, line: _Line) -> None:
        self._lines.discard(line)
        line.close()

    def trim(self) -> None:
        """Close what has been idle for too long."""
        now = self._loop.time()
        while self._idle and (self._idle[0].lost or now - self._idle[0].idle_since >= IDLE):
            self._close(self._idle.popleft())
        self._trimming = self._loop.call_later(IDLE, _trim, weakref.ref(self)) if self._idle else None

    async def aclose(self) -> None:
        """Close every connection; calls under way end with an error, a later one opens a new connection."""
        self._idle.clear()
        for line in tuple(self._lines):
            self._close(line)
        if self._trimming is not None:
            self._trimming.cancel()
            self._trimming = None


async def _said(reply: asyncio.Future[Any]) -> Any:
    try:
        return await reply
    except ResponseError as error:
        return error


def _trim(reference: Callable[[], BlockingReads | None]) -> None:
    # Held weakly: a client that was forgotten is not kept alive by its own timer.
    if (reads := reference()) is not None:
        reads.trim()


def _abandon(lines: set[_Line]) -> None:
    for line in lines:
        if not line.lost:
            line.wire.abandon()
