"""A proxy in front of a Redis server that does on purpose what networks do by accident."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import random
import socket
import struct
import sys
import termios
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Self

from hiredis import Reader

from tests.support.resp import Framer
from tests.support.waiting import eventually

__all__ = ("Command", "Fault", "FaultProxy")

#: A command as its client sent it: the name and the arguments.
Command = list[bytes]

_CHUNK = 256 * 1024
_TURNS_TO_ACCEPT = 4
"""Of the event loop, from the kernel's word of a connection to `_accept`: one that came before the end is told of."""
_SUBSCRIBING = frozenset(b"subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe".split())
_MESSAGES = frozenset(b"message pmessage smessage".split())


@dataclass(frozen=True, eq=False, slots=True)
class Fault:
    """What shall happen to a command, and to which.

    Whatever the kind, the commands before it on its connection are executed and their replies delivered, those behind
    it never reach the server, and the connection is cut. The kinds differ in what becomes of the command itself:

    - `cut_before`: the server never sees it.
    - `cut_after`: the server executes it, and its reply is lost.
    - `half_reply`: the server executes it, and the first half of its reply is delivered.

    Args:
        kind: One of the three.
        match: A command's name, or a function of the whole command.
        times: How often the fault strikes. None: for ever.
        probability: The chance that a command that matches is struck, by the proxy's random numbers.
        reset: Cut with a TCP reset. Otherwise the client sees an orderly end of the stream.
    """

    kind: Literal["cut_before", "cut_after", "half_reply"]
    match: str | Callable[[Command], bool]
    times: int | None = 1
    probability: float = 1.0
    reset: bool = True

    def matches(self, command: Command) -> bool:
        if isinstance(self.match, str):
            return name_of(command) == self.match.upper()
        return self.match(command)


@dataclass(slots=True)
class _Way:
    """One of the two directions, for all connections of a proxy."""

    random: random.Random
    latency: tuple[float, float] = (0, 0)
    max_piece: int = 0
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Write when the time has come and the way is open, and return when the kernel has taken it all."""
        if self.latency[1]:
            await asyncio.sleep(self.random.uniform(*self.latency))
        for piece in self._pieces(data):
            await self.is_open.wait()
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # a client in this loop can read the piece before the next one comes

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while self.max_piece and data:
            size = self.random.randint(1, self.max_piece)
            yield data[:size]
            data = data[size:]
        yield data


class FaultProxy:
    """A proxy for any number of connections, transparent until it is told otherwise.

    It knows where each command and each reply ends, and which reply belongs to which command, so a fault hits exactly
    the command it was meant for, even among thousands in a pipeline. Everything runs in the test's own event loop.

        async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
            proxy.add(Fault("cut_after", "INCRBY"))  # what redis-py makes of incr
            with pytest.raises(OutcomeUnknownError):
                await redis.incr("counter")

    It does not understand CLIENT REPLY OFF and SKIP, nor inline commands.

    Args:
        host: Where the server listens.
        port: Its port.
        seed: Makes latencies, pieces and probabilities the same in each run, as far as the timing is.
    """

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        #: Connections accepted so far.
        self.connections = 0
        #: How often each command came, by its name in capitals; what came behind a cut does not count.
        self.commands: Counter[str] = Counter()
        #: How often each fault struck.
        self.struck: Counter[Fault] = Counter()
        self._target = (host, port)
        self._random = random.Random(seed)
        self.requests = _Way(self._random)
        self.replies = _Way(self._random)
        self._faults: list[Fault] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._refusing = False
        self.heal()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def open(self) -> int:
        """Connections that neither the client nor a fault has ended."""
        return len(self._tasks)

    def add(self, fault: Fault) -> Fault:
        """Arm a fault. Where several match a command, the one armed first strikes."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm all faults, latencies and splitting. A black hole and refusals end with `heal`."""
        self._faults.clear()
        for way in (self.requests, self.replies):
            way.latency, way.max_piece = (0, 0), 0

    def delay(self, shortest: float, longest: float, *, requests: bool = True, replies: bool = True) -> None:
        """Hold each chunk of bytes back for so many seconds; what arrives meanwhile waits its turn."""
        for way in self._chosen(requests, replies):
            way.latency = (shortest, longest)

    def split(self, max_piece: int, *, requests: bool = True, replies: bool = True) -> None:
        """Send everything in pieces of one to `max_piece` bytes."""
        for way in self._chosen(requests, replies):
            way.max_piece = max_piece

    def black_hole(self, *, requests: bool = True, replies: bool = True) -> None:
        """Let nothing through any more, neither bytes nor the end of a connection, until `heal`.

        New connections are accepted and get no answer. With `requests=False` the server executes what it is sent and
        only its replies stay away.
        """
        for way in self._chosen(requests, replies):
            way.is_open.clear()

    def refuse(self) -> None:
        """Reset new connections at once, until `heal`."""
        self._refusing = True

    def heal(self) -> None:
        """End the black hole and the refusals; what waited goes on its way."""
        self._refusing = False
        self.requests.is_open.set()
        self.replies.is_open.set()

    async def cut_all(self) -> None:
        """Reset every connection now; they are closed when this returns."""
        tasks = list(self._tasks)
        await asyncio.sleep(0)  # a task that is cancelled before it began would close nothing
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """Stop listening and reset what is open.

        Raises:
            BaseExceptionGroup: Connections ended by an error of the proxy, or of a fault's `match`.
        """
        self.refuse()
        for listener in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        for _ in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        self._server.close()  # not before: asyncio would lose whom it is about to accept
        await self.cut_all()
        await self._server.wait_closed()
        if self._failures:
            raise BaseExceptionGroup("the proxy failed", self._failures)

    def strike(self, command: Command) -> Fault | None:
        """Count a command and choose what hits it."""
        self.commands[name_of(command)] += 1
        for fault in self._faults:
            if self._strikes(fault, command):
                self.struck[fault] += 1
                return fault
        return None

    def _strikes(self, fault: Fault, command: Command) -> bool:
        used_up = fault.times is not None and self.struck[fault] >= fault.times
        return not used_up and fault.matches(command) and self._random.random() < fault.probability

    def _chosen(self, requests: bool, replies: bool) -> list[_Way]:
        return [self.requests] * requests + [self.replies] * replies

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        serving = self._turn_away(writer) if self._refusing else self._serve(reader, writer)
        task = asyncio.get_running_loop().create_task(serving)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failures.append(error)

    async def _turn_away(self, writer: asyncio.StreamWriter) -> None:
        reset(writer)
        await closed(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        try:
            await self.requests.is_open.wait()
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            server_writer.transport.set_write_buffer_limits(0)
            await _Connection(self, reader, writer, server_reader, server_writer).run()
        except OSError:
            pass  # one of the two is gone, and the other one's connection ends too
        finally:
            reset(writer)
            await closed(writer)


class _Connection:
    """A client's connection to the proxy and the one from there to the server."""

    def __init__(
        self,
        proxy: FaultProxy,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client_reader = client_reader
        self._client_writer = client_writer
        self._server_reader = server_reader
        self._server_writer = server_writer
        self._parser = Reader()
        #: Commands on their way to the server, once for each reply that they will have.
        self._awaited: deque[Command] = deque()
        self._undelivered = 0
        self._delivered = asyncio.Event()
        self._subscriber = False
        self._fault: Fault | None = None
        self._struck: Command | None = None

    async def run(self) -> None:
        """Relay until one side ends or a fault has done its work, then end both."""
        pumps = [asyncio.create_task(self._pump_requests()), asyncio.create_task(self._pump_replies())]
        try:
            ended, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._server_writer.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await closed(self._server_writer)
        for pump in ended:
            pump.result()
        await self._hang_up()

    async def _pump_requests(self) -> None:
        framer = Framer()
        while data := await self._client_reader.read(_CHUNK):
            frames = self._admit(framer.feed(data))
            await self._proxy.requests.send(self._server_writer, b"".join(frames))
            if self._fault is not None:
                await self._all_delivered()
                return
        await self._proxy.requests.is_open.wait()

    def _admit(self, frames: list[bytes]) -> list[bytes]:
        """The commands that the server shall see: all, or those up to the one that a fault strikes."""
        for index, frame in enumerate(frames):
            self._parser.feed(frame)
            command: Command = self._parser.gets()
            fault = self._fault = self._proxy.strike(command)
            if fault is not None and fault.kind == "cut_before":
                return frames[:index]
            self._expect_reply(command)
            if fault is not None:
                self._struck = command
                return frames[: index + 1]
        return frames

    def _expect_reply(self, command: Command) -> None:
        replies = 1
        if command[0].lower() in _SUBSCRIBING:
            self._subscriber = True
            replies = max(len(command) - 1, 1)  # one for each channel
        self._awaited.extend([command] * replies)
        self._undelivered += replies

    async def _pump_replies(self) -> None:
        framer = Framer()
        while data := await self._server_reader.read(_CHUNK):
            awaited = len(self._awaited)
            frames = self._release(framer.feed(data))
            answered = awaited - len(self._awaited)
            await self._proxy.replies.send(self._client_writer, b"".join(frames))
            self._undelivered -= answered
            self._delivered.set()
        await self._proxy.replies.is_open.wait()

    def _release(self, frames: list[bytes]) -> list[bytes]:
        """What the client shall see: all, or what came before the reply that a fault strikes, and half of that one."""
        for index, frame in enumerate(frames):
            if self._is_answer(frame) and self._awaited.popleft() is self._struck:
                half = len(frame) // 2 if self._fault is not None and self._fault.kind == "half_reply" else 0
                return [*frames[:index], frame[:half]]
        return frames

    def _is_answer(self, frame: bytes) -> bool:
        """Whether a command is answered; pushes and published messages answer none."""
        if not self._awaited:
            return False
        if not (frame.startswith(b">") or (self._subscriber and frame.startswith(b"*"))):
            return True
        kind = frame.split(b"\r\n", 3)[2]
        if kind in _SUBSCRIBING:
            return kind == self._awaited[0][0].lower()
        return frame.startswith(b"*") and kind not in _MESSAGES

    async def _all_delivered(self) -> None:
        while self._undelivered:
            self._delivered.clear()
            await self._delivered.wait()

    async def _hang_up(self) -> None:
        """Leave the reset to the proxy, once all bytes have reached the client's kernel; or end the stream and wait."""
        if self._fault is not None and self._fault.reset:
            await eventually(lambda: not unacknowledged(self._client_writer), timeout=math.inf, every=0.001)
            return
        self._client_writer.write_eof()
        while await self._client_reader.read(_CHUNK):
            pass


def name_of(command: Command) -> str:
    """The command's name in capitals."""
    return command[0].decode().upper()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset."""
    if not writer.transport.is_closing():
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


async def closed(writer: asyncio.StreamWriter) -> None:
    """Wait until the socket is closed."""
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def unacknowledged(writer: asyncio.StreamWriter) -> int:
    """How many bytes the other side's kernel has not taken yet; a reset would lose them."""
    if writer.transport.is_closing() or sys.platform != "linux":
        return 0
    answer = fcntl.ioctl(writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)
