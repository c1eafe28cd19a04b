"""One live socket: batches of commands leave, replies come back in order to the futures that wait for them.

redis-py opens the connection and shakes hands, so TLS, ACL, credentials, database and Sentinel are its own; then the
`Wire` takes the transport over. It has no reader task: the event loop hands it bytes, one `hiredis.Reader` cuts them
into replies, each reply goes to the oldest waiting future. A future that was cancelled keeps its place and its reply
is dropped when it comes, so a cancellation costs nothing and can never give one caller another's reply.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Final, Protocol, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import InvalidResponse, ReadOnlyError

__all__ = ("Owner", "Unanswered", "Wire")

_READ_SIZE: Final = 256 * 1024
_FEWEST, _FIRST = 4, 20
"""Replies that are handed out before the callers whom they wake may write."""
_NOTHING: Final = object()
_PLAIN: Final = frozenset((bytes, int, type(None), str, list, float, bool, dict, set))


class Unanswered(Exception):  # noqa: N818 - it is caught here and never reaches a user
    """Internal: the future of a call ended without a reply.

    Args:
        reason: What happened.
        written: Whether the command had been handed to the socket, so that the server may have executed it.
        expired: Whether the call's deadline had passed, so that there is no time left to try again.
        suspect: Whether its reply was the next to come when the connection was lost, and may be what ended it.
    """

    def __init__(self, reason: str, *, written: bool, expired: bool = False, suspect: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.written = written
        self.expired = expired
        self.suspect = suspect


class Owner(Protocol):
    """Who is told what happens on a wire. Held weakly, so that a forgotten client is collected with its socket."""

    def on_push(self, push: list[Any]) -> None: ...

    def on_room(self) -> None: ...

    def on_woken(self) -> None: ...

    def on_demoted(self, wire: Wire) -> None: ...

    def on_lost(self, wire: Wire, reason: str) -> None: ...


class Wire(asyncio.BufferedProtocol):
    """Takes over the transport of a connected redis-py connection.

    Args:
        connection: A redis-py connection after its handshake; owned by the wire from now on.
        owner: Told of pushes, of room to write, and of the loss.
        encoding: How strings of decoded replies are encoded; None when nothing is ever decoded.
        errors: What to do with bytes that do not decode, as in `bytes.decode`.
    """

    def __init__(self, connection: AbstractConnection, owner: Owner, encoding: str | None, errors: str) -> None:
        self.pending: deque[asyncio.Future[Any]] = deque()
        self.sent = 0  # commands, in all
        self.greeted = 0  # those of them that greet the server and are nobody's call
        self.decoded: set[asyncio.Future[Any]] = set()  # those of them whose strings are to be decoded
        self.writable = True
        self.starved = False  # the owner holds commands back until replies have made room
        self.quiet_since = asyncio.get_running_loop().time()
        self._retired = False
        self._owner = weakref.ref(owner)
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._buffer = memoryview(bytearray(_READ_SIZE))
        self._reader = hiredis.Reader(
            encoding=encoding,
            errors=errors,
            notEnoughData=_NOTHING,
            protocolError=InvalidResponse,
            replyError=connection._parser.parse_error,
        )
        self._transport = _transport_of(connection)
        self._transport.set_protocol(self)
        # The writer would close the transport if it were collected. The rest of redis-py's connection is let go: it
        # refers to the user's pool, and would keep alive a client that everybody else has forgotten.
        self._writer = connection._writer
        connection._reader = connection._writer = None

    @property
    def answered(self) -> int:
        """Commands whose reply has come, or never will."""
        return self.sent - len(self.pending)

    def send(self, data: bytes, futures: Sequence[asyncio.Future[Any]], decode: bool) -> None:
        """Write commands whose replies belong to these futures, in order."""
        if not self.pending:
            self.quiet_since = self._time()
        self.pending.extend(futures)
        self.sent += len(futures)
        if decode:
            self.decoded.update(futures)
        self._transport.write(data)
        if self._transport.is_closing():  # it failed at that; what comes behind is sent on another connection
            self.writable = False

    def abort(self, reason: str, *, final: bool = False) -> None:
        """Drop the connection now; what was written and not answered is told so.

        Args:
            reason: What the callers are told.
            final: Nothing is to be sent again, as if every deadline had passed.
        """
        self._lose(reason, final=final)
        self._drop()

    def retire(self) -> None:
        """Take no more commands; the connection is dropped when those under way are answered."""
        self._retired = True
        self.starved = False

    def abandon(self) -> None:
        """Drop the connection of an owner that is gone, from whatever place the garbage collector runs in.

        Left to the event loop: this may be another thread, or a forked child, which shares the parent's selector.
        """
        try:
            self._loop.call_soon_threadsafe(self._drop)
        except RuntimeError:
            pass  # its event loop is closed, and the socket goes with its transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.quiet_since = self._time()
        try:
            self._reader.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]  # the stub knows no buffers
            self._deliver()
        except InvalidResponse as error:
            self.abort(f"the server broke the protocol ({error})")
        else:
            if self._retired and not self.pending:
                self._drop()
            if self.starved and (owner := self._owner()) is not None:
                owner.on_room()

    def _deliver(self) -> None:
        """Hand out every whole reply; whom the first ones wake may write before the others run, while the server works.

        Without that server and client wait for each other in turns, and 50 callers get half as much done.
        """
        first = min(len(self.pending) // 2, _FIRST)
        if first >= _FEWEST and self._hand_out(repeat(None, first)) and (owner := self._owner()) is not None:
            self._loop.call_soon(owner.on_woken)
        self._hand_out(repeat(None))

    def _hand_out(self, turns: Iterable[None]) -> bool:
        """Hand out so many replies; whether there may be more. This loop is the cost of a reply: each line counts."""
        pending, decoded, gets = self.pending, self.decoded, self._reader.gets
        for _ in turns:
            reply = self._decoded_reply() if decoded else gets(False)
            if type(reply) in _PLAIN and pending:
                try:
                    pending.popleft().set_result(reply)
                except asyncio.InvalidStateError:
                    pass  # its caller has gone
            elif reply is _NOTHING:
                return False
            else:
                self._deliver_rare(reply)
        return True

    def _decoded_reply(self) -> Any:
        """The next reply where some are to be decoded, and perhaps this one."""
        if not self.pending or self.pending[0] not in self.decoded:
            return self._reader.gets(False)
        try:
            reply = self._reader.gets(True)
        except UnicodeDecodeError as error:
            reply = error
        if reply is not _NOTHING and type(reply) is not hiredis.PushNotification:
            self.decoded.discard(self.pending[0])
        return reply

    def _deliver_rare(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            if (owner := self._owner()) is not None:
                owner.on_push(reply)
            return
        if not self.pending:
            raise InvalidResponse("a reply that nobody asked for")
        future = self.pending.popleft()
        if future.done():
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)
        if isinstance(reply, ReadOnlyError) and (owner := self._owner()) is not None:
            owner.on_demoted(self)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if (owner := self._owner()) is not None:
            owner.on_room()

    def eof_received(self) -> None:
        self._lose("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(f"the connection was lost ({exc})" if exc else "the connection was closed")
        self._drop()

    def _lose(self, reason: str, *, final: bool = False) -> None:
        first = max(self.greeted - self.answered, 0)
        pending, self.pending = self.pending, deque()
        self.decoded.clear()
        for place, future in enumerate(pending):
            if not future.done():
                future.set_exception(Unanswered(reason, written=True, expired=final, suspect=place == first))
        if (owner := self._owner()) is not None:
            owner.on_lost(self, reason)

    def _drop(self) -> None:
        self._transport.abort()


def _transport_of(connection: AbstractConnection) -> asyncio.Transport:
    writer = connection._writer
    if writer is None:
        raise InvalidResponse("the connection was closed during its handshake")
    return cast(asyncio.Transport, writer.transport)
