"""A server process: how it is started, known to be ready, and ended.

Three things make it dependable.

- **No orphans.** The server is started through one line of shell: a background subshell reads a pipe whose other end
  only the parent holds, and the shell then becomes the server. When the parent is gone, however it went, the read
  ends and the subshell kills the process group. The group's id cannot be reused while the subshell is in it, so it
  never kills a stranger, and a server that is stopped by a signal dies too.
- **No clash of ports.** The server listens on its TCP port first and on a unix socket in a private directory
  afterwards. An answer on that socket is an answer of this very process, and means that the port is its own. Of two
  that chose the same port, one exits and tries another.
- **No self-connect.** Ports are chosen below the range from which the system takes those of outgoing connections, so
  that no client can sit on the port of a server that is being restarted.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Final, final

from redis.exceptions import ResponseError

from aioredis_patterns._core.tasks import shielded
from aioredis_patterns.errors import ServerUnavailableError

from .ask import ask

__all__ = ("HOST", "ServerProcess")

HOST: Final = "127.0.0.1"
_PORTS: Final = range(10_000, 22_000)
_BUS_OFFSET: Final = 10_000
"""A cluster node's second port, counted from its first; with it, too, below the outgoing connections' range."""

_PORT_ATTEMPTS: Final = 20
_START_TIMEOUT: Final = 10.0
_STOP_TIMEOUT: Final = 2.0
_KILL_TIMEOUT: Final = 5.0
_POLL: Final = 0.002
_LOG_LINES: Final = 12

# $0 is the private directory, "$@" the server and its arguments. $$ in the subshell is the server's process id.
_WATCHED: Final = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -KILL $$; rm -rf -- "$0"; kill -KILL 0) & exec "$@" 3<&-'


class _PortTakenError(ServerUnavailableError):
    """Raised when somebody else listens on the port."""


@final
class ServerProcess:
    """One server, its private directory (socket, log, configuration) and its data directory.

    Args:
        program: The server program.
        args: Its options, which override the defaults.
        directory: Where it keeps its data; None for the private directory.
        port: Its TCP port; 0 for none; None for a free one, chosen at the first start.
    """

    __slots__ = ("_args", "_popen", "_program", "directory", "home", "port")

    def __init__(self, program: Path, args: Sequence[str], directory: Path | None, port: int | None) -> None:
        self._program = program
        self._args = tuple(args)
        self._popen: subprocess.Popen[bytes] | None = None
        self.home = Path(tempfile.mkdtemp(prefix="aioredis-"))
        self.directory = directory or self.home
        self.port = port

    @property
    def unix_path(self) -> Path:
        return self.home / "server.sock"

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """The process; after its end, the one that was."""
        if self._popen is None:
            raise ServerUnavailableError("the server was not started")
        return self._popen

    async def start(self) -> None:
        """Start it and wait until it answers; whatever goes wrong, no process stays behind.

        Raises:
            ServerUnavailableError: It ended, or did not answer in time; the message has the end of its log.
        """
        if self.port is not None:
            return await self._start_on(self.port)
        for _ in range(_PORT_ATTEMPTS):
            port = _free_port()
            with suppress(_PortTakenError):
                await self._start_on(port)
                self.port = port
                return None
        raise ServerUnavailableError(f"no free port in {_PORT_ATTEMPTS} attempts")

    async def _start_on(self, port: int) -> None:
        self._popen = self._spawn(port)
        try:
            await self._answers()
        except BaseException:
            await self.kill()
            raise

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        configuration = self.home / "server.conf"  # empty; CONFIG REWRITE and Sentinel want one to write to
        configuration.touch()
        defaults = ["--port", str(port), "--bind", HOST, "--unixsocket", str(self.unix_path)]
        defaults += ["--dir", str(self.directory), "--save", "", "--appendonly", "no"]
        command = [str(self._program), str(configuration), *defaults, *self._args]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", _WATCHED, str(self.home), *command],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own to be killed, and not reached by the terminal's Ctrl-C
            )

    async def _answers(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while not await self._ready():
            if self.popen.poll() is not None:
                raise self._ended()
            if time.monotonic() > deadline:
                raise ServerUnavailableError(f"no answer within {_START_TIMEOUT:g} s{self._end_of_log()}")
            await asyncio.sleep(_POLL)

    async def _ready(self) -> bool:
        try:
            await ask(self.unix_path, "PING")
        except OSError:
            return False
        except ResponseError as error:
            # A refusal, as of a server that wants a password, is the answer of a server that works.
            return not str(error).startswith("LOADING")
        return True

    def _ended(self) -> ServerUnavailableError:
        log = self._end_of_log()
        if "Address already in use" in log:
            return _PortTakenError(f"somebody else listens on its port{log}")
        return ServerUnavailableError(f"{self._program} ended with status {self.popen.returncode}{log}")

    @property
    def _log(self) -> Path:
        return self.home / "server.log"

    def _end_of_log(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "".join(f"\n    {line}" for line in lines)

    async def stop(self) -> None:
        """Ask it to end, which saves what it was told to save; after 2 s end it. A cancellation waits."""
        self.popen.send_signal(signal.SIGTERM)
        self.popen.send_signal(signal.SIGCONT)  # one that is paused hears it too
        try:
            await shielded(self._reaped(_STOP_TIMEOUT), _STOP_TIMEOUT + 1)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End it at once, together with its watcher and with any child that saves for it. A cancellation waits."""
        popen = self.popen
        if popen.stdin is None or popen.stdin.closed:
            return
        # The watcher still holds the group's id, whether the server lives or not.
        with suppress(ProcessLookupError, PermissionError):  # macOS denies it for a group of the dead
            os.killpg(popen.pid, signal.SIGKILL)
        try:
            await shielded(self._reaped(_KILL_TIMEOUT), _KILL_TIMEOUT + 1)
        finally:
            popen.stdin.close()

    async def _reaped(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.popen.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL)
        return True

    async def close(self) -> None:
        """End it and remove its private directory; data in a directory of the caller's is saved and stays."""
        try:
            if self._popen is not None:
                await (self.kill() if self.directory == self.home else self.stop())
        finally:
            shutil.rmtree(self.home, ignore_errors=True)


def _free_port() -> int:
    """A port that is free together with the one above it that a cluster node would want."""
    random = SystemRandom()  # never the generator that a test may have seeded, alike in every process
    while True:
        port = random.choice(_PORTS)
        if _is_free(port) and _is_free(port + _BUS_OFFSET):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
