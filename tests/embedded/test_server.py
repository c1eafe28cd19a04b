from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
import redis.asyncio as redis_py
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.embedded import EmbeddedServer, embedded_server, embedded_servers
from aioredis_patterns.embedded import process as process_module
from aioredis_patterns.errors import ServerUnavailableError
from tests.embedded.processes import left_in, living, parent, running_in
from tests.support.waiting import eventually

OWN = ("--loglevel", "notice")
"""An option asks for a server of one's own, whatever REDIS_URL says."""

APPENDING = ("--appendonly", "yes", "--appendfsync", "always")


def client(server: EmbeddedServer, socket_timeout: float = 5) -> redis_py.Redis:
    """A client that tries once."""
    return redis_py.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0), socket_timeout=socket_timeout)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's temporary directories go; a short path, for the unix sockets in it."""
    directory = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    shutil.rmtree(directory)


async def test_a_server_answers_at_its_url() -> None:
    """The URL leads to the very process that was started, reachable from this machine only, keeping nothing."""
    async with embedded_server(args=OWN) as server, client(server) as redis:
        assert (await redis.info("server"))["process_id"] == server.pid
        settings = await redis.config_get()
        assert (settings["bind"], settings["save"], settings["appendonly"]) == ("127.0.0.1", "", "no")


async def test_the_handle_says_what_the_server_is() -> None:
    """Address, version, flavor and directory are those that the server itself reports."""
    async with embedded_server(args=OWN) as server, client(server) as redis:
        info = await redis.info("server")
        assert server.version == info.get("valkey_version", info["redis_version"])
        assert server.flavor == info.get("server_name", "redis")
        assert server.url == f"redis://{server.host}:{server.port}/0"
        assert (await redis.config_get("port"))["port"] == str(server.port)
        assert (await redis.config_get("dir"))["dir"] == str(server.directory)
        assert f"{server.flavor} {server.version}" in repr(server)


async def test_a_server_may_listen_on_a_unix_socket_only() -> None:
    """With unix=True the URL is the socket's, and there is no port."""
    async with embedded_server(unix=True) as server, client(server) as redis:
        await redis.set("n", 1)
        assert await redis.get("n") == b"1"
        assert (await redis.config_get("port"))["port"] == "0"
        assert (server.host, server.port) == (None, None)
        assert server.unix_path is not None
        assert server.unix_path.is_socket()


async def test_options_override_the_defaults() -> None:
    """What the caller asks of the server, the server does; a password does not keep it from being ready."""
    async with embedded_server(args=(*APPENDING, "--requirepass", "secret")) as server:
        async with redis_py.Redis.from_url(server.url, password="secret") as redis:
            assert (await redis.config_get("appendonly"))["appendonly"] == "yes"
        with pytest.raises(redis_py.AuthenticationError):
            async with client(server) as redis:
                await redis.ping()


async def test_a_server_is_up_in_no_time() -> None:
    """A test can afford a server of its own: at best it starts within 150 ms."""
    took = []
    for _ in range(5):
        start = time.perf_counter()
        async with embedded_server(args=OWN):
            took.append(time.perf_counter() - start)
    assert min(took) < 0.15


@pytest.mark.parametrize("end", [EmbeddedServer.kill, EmbeddedServer.stop])
async def test_what_was_appended_survives_a_restart(end: Callable[[EmbeddedServer], object]) -> None:
    """A restart keeps port and directory, so the data is there again, in another process."""
    async with embedded_server(args=APPENDING) as server:
        before = (server.url, server.pid, server.directory)
        async with client(server) as redis:
            await redis.set("n", 1)
        await end(server)  # type: ignore[misc]
        await server.restart()
        async with client(server) as redis:
            assert await redis.get("n") == b"1"
        assert (server.url, server.directory) == (before[0], before[2])
        assert server.pid != before[1]


async def test_a_running_server_may_be_restarted() -> None:
    """A restart ends what runs first; what was kept in memory only is gone."""
    async with embedded_server(args=OWN) as server, client(server) as redis:
        await redis.set("n", 1)
        await server.restart()
        async with client(server) as again:
            assert await again.get("n") is None


async def test_a_server_is_ready_when_its_data_is_loaded() -> None:
    """A restart returns when the server serves, not while it answers that it is loading."""
    keys, slow = 3000, ("--key-load-delay", "200")  # microseconds a key
    async with embedded_server(args=(*APPENDING, "--aof-use-rdb-preamble", "no", *slow)) as server:
        async with client(server) as redis, redis.pipeline(transaction=False) as pipeline:
            for number in range(keys):
                pipeline.set(f"n{number}", number)
            await pipeline.execute()
        await server.kill()
        await server.restart()
        assert await server.ask("DBSIZE") == keys


async def test_a_paused_server_answers_when_it_is_resumed() -> None:
    """A paused server takes connections and answers none, until it is resumed."""
    async with embedded_server(args=OWN) as server:
        server.pause()
        async with client(server, socket_timeout=0.1) as redis:
            with pytest.raises(RedisTimeoutError):
                await redis.ping()
        server.resume()
        async with client(server) as redis:
            assert await redis.ping()


@pytest.mark.parametrize("end", [EmbeddedServer.kill, EmbeddedServer.stop, EmbeddedServer.restart])
@pytest.mark.parametrize("paused", [False, True])
async def test_an_ended_server_is_gone(end: Callable[[EmbeddedServer], object], paused: bool) -> None:
    """When kill, stop or restart return, the old process and all it started are gone, were it paused too."""
    async with embedded_server(args=OWN) as server:
        group = server.pid
        assert group is not None
        if paused:
            server.pause()
        await end(server)  # type: ignore[misc]
        await eventually(lambda: not living(group))


async def test_a_server_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is busy and does not hear SIGTERM is gone after the time it was given."""
    monkeypatch.setattr(process_module, "_STOP_TIMEOUT", 0.1)
    async with embedded_server(args=("--lua-time-limit", "60000")) as server:
        async with client(server) as redis:
            endless = asyncio.ensure_future(redis.eval("while true do end", 0))
            await eventually(lambda: not endless.done() and _is_busy(server))
            await server.stop()
            with pytest.raises(redis_py.ConnectionError):
                await endless
        assert server.pid is not None
        assert not living(server.pid)


async def _is_busy(server: EmbeddedServer) -> bool:
    try:
        async with asyncio.timeout(0.2):
            await server.ask("PING")
    except TimeoutError:
        return True
    return False


async def test_one_command_can_be_asked_without_a_client() -> None:
    """A reply comes decoded, a refusal is raised, and a dead server is an OSError."""
    async with embedded_server(args=OWN) as server:
        assert await server.ask("RPUSH", "list", 1, "é") == 2
        assert await server.ask("LRANGE", "list", 0, -1) == ["1", "é"]
        with pytest.raises(redis_py.ResponseError, match="unknown command"):
            await server.ask("NONSENSE")
        await server.kill()
        with pytest.raises(OSError):  # noqa: PT011  # any of them
            await server.ask("PING")


class BodyError(Exception):
    pass


async def test_nothing_is_left_after_the_block(temporary: Path) -> None:
    """When the block ends, by an exception too, the server, its watcher and its directory are gone."""
    with pytest.raises(BodyError):  # the block is what is tested
        async with embedded_server(args=OWN) as server:
            assert server.pid in running_in(temporary)
            raise BodyError
    assert server.pid is not None
    await eventually(lambda: not living(server.pid or 0))
    assert not left_in(temporary)


@pytest.mark.parametrize("paused", [False, True])
async def test_a_directory_of_the_callers_stays(tmp_path: Path, paused: bool) -> None:
    """Data in a directory that was given is saved at the end, by a paused server too, and there for the next one."""
    saving = ("--save", "3600", "1")
    async with embedded_server(directory=tmp_path, args=saving) as server, client(server) as redis:
        await redis.set("n", 1)
        if paused:
            server.pause()
    async with embedded_server(directory=tmp_path, args=saving) as server, client(server) as redis:
        assert await redis.get("n") == b"1"


async def cancel_task(temporary: Path) -> None:
    """Cancel a task whose server was spawned and is not ready."""

    async def use() -> None:
        async with embedded_server(args=OWN):
            raise AssertionError("it was ready too soon")

    task = asyncio.create_task(use())
    await eventually(lambda: list(temporary.glob("*/server.log")), every=0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_scope(temporary: Path) -> None:
    """The same by an anyio scope, which repeats its cancellation at every await."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel() -> None:
                await eventually(lambda: list(temporary.glob("*/server.log")), every=0)
                scope.cancel()

            group.start_soon(cancel)
            async with embedded_server(args=OWN):
                raise AssertionError("it was ready too soon")
    assert scope.cancelled_caught


@pytest.mark.parametrize("cancelled", [cancel_task, cancel_scope])
async def test_a_cancelled_start_leaves_nothing(temporary: Path, cancelled: Callable[[Path], object]) -> None:
    """Whoever gives up while the server starts leaves no process and no directory."""
    await cancelled(temporary)  # type: ignore[misc]
    await eventually(lambda: not running_in(temporary))
    assert not left_in(temporary)


async def test_a_cancelled_restart_leaves_no_process() -> None:
    """Whoever gives up while the server restarts has a server that is ended, and may be restarted."""
    async with embedded_server(args=OWN) as server:
        before = server.pid
        restart = asyncio.create_task(server.restart())
        await eventually(lambda: server.pid != before, every=0)
        restart.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restart
        assert server.pid is not None
        await eventually(lambda: not living(server.pid or 0))
        await server.restart()
        assert await process_at(server.url) == server.pid


async def test_a_cancelled_block_leaves_nothing(temporary: Path) -> None:
    """A scope that is cancelled for good does not keep the exit from doing its work."""
    with anyio.CancelScope() as scope:
        async with embedded_server(args=OWN):
            scope.cancel()
            await anyio.sleep_forever()
    await eventually(lambda: not running_in(temporary))
    assert not left_in(temporary)


async def test_a_cancelled_block_saves(tmp_path: Path) -> None:
    """A cancellation does not keep a server with a directory of the caller's from saving."""
    saving = ("--save", "3600", "1")
    with anyio.CancelScope() as scope:
        async with embedded_server(directory=tmp_path, args=saving) as server:
            await server.ask("SET", "n", 1)
            scope.cancel()
            await anyio.sleep_forever()
    async with embedded_server(directory=tmp_path, args=saving) as server:
        assert await server.ask("GET", "n") == "1"


async def test_a_failed_start_shows_the_log(temporary: Path) -> None:
    """The error has what the server said, and nothing is left."""
    with pytest.raises(ServerUnavailableError, match=r"(?s)ended with status 1.*nonsense"):
        async with embedded_server(args=("--nonsense", "yes")):
            pass
    await eventually(lambda: not running_in(temporary))
    assert not left_in(temporary)


async def test_a_silent_server_is_given_up(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that runs and never answers is an error after the time it was given, and is ended."""
    monkeypatch.setattr(process_module, "_START_TIMEOUT", 0.2)
    silent = temporary / "silent"
    version = 'if [ "$1" = --version ]; then echo "Redis server v=7.0.0"; exit; fi'
    silent.write_text(f"#!/bin/sh\n{version}\necho thinking\nsleep 600\n")
    silent.chmod(0o755)
    with pytest.raises(ServerUnavailableError, match=r"(?s)no answer within 0.2 s.*thinking"):
        async with embedded_server(program=str(silent)):
            pass
    await eventually(lambda: not running_in(temporary))
    assert left_in(temporary) == [silent]


async def test_six_at_once_do_not_clash() -> None:
    """Servers that start at the same time have ports and processes of their own."""
    servers = [embedded_server(args=OWN) for _ in range(6)]
    started = await asyncio.gather(*(server.__aenter__() for server in servers))
    try:
        assert len({server.port for server in started}) == 6
        assert [await process_at(server.url) for server in started] == [server.pid for server in started]
    finally:
        await asyncio.gather(*(server.__aexit__(None, None, None) for server in servers))


async def test_servers_of_two_processes_do_not_clash() -> None:
    """Two processes that start three each get six different ones."""
    with parent(3) as (_, ours), parent(3) as (_, theirs):
        servers = ours + theirs
        assert len({server["url"] for server in servers}) == 6
        assert [await process_at(str(server["url"])) for server in servers] == [server["pid"] for server in servers]


async def process_at(url: str) -> int:
    """The process id that the server at the URL reports."""
    async with redis_py.Redis.from_url(url) as redis:
        return int((await redis.info("server"))["process_id"])


async def test_a_port_taken_meanwhile_is_given_up_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """When another server takes the port between choice and start, the next one is tried."""
    free_port = process_module._free_port
    async with embedded_server(args=OWN) as first:
        choices = iter([first.port, first.port, free_port()])
        monkeypatch.setattr(process_module, "_free_port", lambda: next(choices))
        async with embedded_server(args=OWN) as second:
            assert second.port != first.port
            assert await process_at(second.url) == second.pid
            assert await process_at(first.url) == first.pid


async def test_ports_that_are_all_taken_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for a port ends, and says what it looked for."""
    async with embedded_server(args=OWN) as first:
        monkeypatch.setattr(process_module, "_PORT_ATTEMPTS", 2)
        monkeypatch.setattr(process_module, "_free_port", lambda: first.port)
        with pytest.raises(ServerUnavailableError, match="no free port in 2 attempts"):
            async with embedded_server(args=OWN):
                pass


async def test_a_wanted_port_is_the_port() -> None:
    """A port that is asked for is used, and when it is taken the error says so."""
    async with embedded_server(port=process_module._free_port()) as server:
        assert await process_at(server.url) == server.pid
        with pytest.raises(
            ServerUnavailableError, match=r"(?s)^somebody else listens on its port.*Address already in use"
        ):
            async with embedded_server(port=server.port):
                pass


async def test_a_running_server_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With REDIS_URL set, nothing is started, nothing can be ended, and the server outlives the block."""
    async with embedded_server(args=OWN) as running:
        monkeypatch.setenv("REDIS_URL", running.url)
        async with embedded_server() as server:
            assert (server.url, server.host, server.port) == (running.url, running.host, running.port)
            assert (server.version, server.flavor) == (running.version, running.flavor)
            assert (server.pid, server.process, server.directory, server.unix_path) == (None, None, None, None)
            with pytest.raises(ServerUnavailableError, match="not started here"):
                await server.kill()
        assert await process_at(running.url) == running.pid


async def test_a_named_server_may_have_a_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """REDIS_URL may be a unix socket's."""
    async with embedded_server(unix=True) as running:
        monkeypatch.setenv("REDIS_URL", running.url)
        async with embedded_server() as server:
            assert server.unix_path == running.unix_path


async def test_who_asks_for_an_own_server_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument that only a fresh server can honour is stronger than REDIS_URL."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    async with embedded_server(args=OWN) as server, embedded_servers(1) as [other]:
        assert server.process is not None
        assert other.process is not None


async def test_a_named_server_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With REDIS_URL set and nobody there, no other server is started in its place."""
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{process_module._free_port()}/0")
    with pytest.raises(ServerUnavailableError, match="REDIS_URL is set"):
        async with embedded_server():
            pass


async def test_a_handle_does_not_show_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed of a handle has no credentials."""
    async with embedded_server(args=("--requirepass", "hush")) as running:
        monkeypatch.setenv("REDIS_URL", f"redis://:hush@127.0.0.1:{running.port}/0")
        async with embedded_server() as server:
            assert "hush" not in repr(server)


async def test_several_servers_are_independent() -> None:
    """What is written to one is not in the others."""
    async with embedded_servers(3, args=OWN) as servers:
        await servers[0].ask("SET", "n", 1)
        assert [await server.ask("EXISTS", "n") for server in servers] == [1, 0, 0]
        assert len({server.pid for server in servers}) == 3
