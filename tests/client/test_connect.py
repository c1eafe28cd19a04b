"""`connect` reads every form of URL, refuses the rest with a sentence, and does no I/O."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from redis import CredentialProvider
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.pipelined_cluster import PipelinedCluster
from aioredis_patterns.embedded import EmbeddedServer, embedded_server
from tests.support.faults import FaultProxy
from tests.support.waiting import eventually


def options(redis: PipelinedRedis) -> dict[str, object]:
    return dict(redis.connection_pool.connection_kwargs)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", {"host": "localhost"}),
        ("redis://", {}),
        ("redis://db.example.org:7000/3", {"host": "db.example.org", "port": 7000, "db": 3}),
        ("redis://ada:s%40fe@h/0", {"host": "h", "username": "ada", "password": "s@fe", "db": 0}),
        ("redis://:secret@h", {"password": "secret"}),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}),
        ("redis://h?db=2&client_name=web&socket_timeout=1.5", {"db": 2, "client_name": "web", "socket_timeout": 1.5}),
        ("unix:///run/redis.sock?db=1", {"path": "/run/redis.sock", "db": 1}),
        ("unix://ada:secret@/run/redis.sock", {"path": "/run/redis.sock", "username": "ada", "password": "secret"}),
    ],
)
def test_a_url_says_where_and_how(url: str, expected: dict[str, object]) -> None:
    """Host, port, database, user, password and options of the URL are those of the connections."""
    assert expected.items() <= options(connect(url)).items()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("rediss://h", SSLConnection),
        ("unix:///run/redis.sock", UnixDomainSocketConnection),
        ("rediss+cluster://h", SSLConnection),
    ],
)
def test_a_scheme_says_which_kind_of_connection(url: str, kind: type) -> None:
    """TLS and unix sockets are chosen by the scheme."""
    assert connect(url).connection_pool.connection_class is kind


def test_tls_reaches_the_sentinels_too() -> None:
    """rediss+sentinel:// is TLS to the Sentinels and to the primary."""
    pool = connect("rediss+sentinel://one,two:7000/main").connection_pool
    assert issubclass(pool.connection_class, SSLConnection)
    sentinels = pool.sentinel_manager.sentinels
    assert [sentinel.connection_pool.connection_class for sentinel in sentinels] == [SSLConnection] * 2
    assert [options(sentinel)["port"] for sentinel in sentinels] == [26379, 7000]


def test_a_sentinel_url_names_the_service() -> None:
    """Service, database, user and password belong to the primary, `sentinel_kwargs` to the Sentinels."""
    redis = connect("redis+sentinel://ada:secret@one:1,[::1]:2/my%2Fmain/4", sentinel_kwargs={"password": "other"})
    assert redis.connection_pool.service_name == "my/main"
    assert {"username": "ada", "password": "secret", "db": 4}.items() <= options(redis).items()
    sentinels = redis.connection_pool.sentinel_manager.sentinels
    assert [(options(one)["host"], options(one)["port"]) for one in sentinels] == [("one", 1), ("::1", 2)]
    assert {options(one)["password"] for one in sentinels} == {"other"}
    assert {options(one).get("username") for one in sentinels} == {None}


def test_a_cluster_url_names_nodes() -> None:
    """Every host is a start node; user, password and options are those of each node's connections."""
    redis = connect("redis+cluster://ada:secret@one:1,two?client_name=web", decode_responses=True)
    assert isinstance(redis, PipelinedCluster)
    assert list(redis.cluster_client.nodes_manager.startup_nodes) == ["one:1", "two:6379"]
    wanted = {"username": "ada", "password": "secret", "client_name": "web", "decode_responses": True}
    assert wanted.items() <= redis.cluster_client.connection_kwargs.items()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "no URL"),
        ("localhost:6379", "no URL"),
        ("http://localhost", "no URL"),
        ("redis+magic://localhost", "no URL"),
        ("redis://h/0#fragment", "no URL"),
        ("redis://one,two", r"redis\+cluster"),
        ("redis://h/zero", "no number of a database"),
        ("redis://h:port", "port"),
        ("redis://h:99999", "[Pp]ort"),
        ("redis://h?socket_timeout=soon", "socket_timeout"),
        ("unix://", "path"),
        ("redis+cluster://", "hosts"),
        ("redis+cluster://one,,two", "hosts"),
        ("redis+cluster://one:x", "'one:x' is no host:port"),
        ("redis+cluster://one/1", "database 0"),
        ("redis+cluster://one?db=1", "database 0"),
        ("redis+sentinel://one", "service"),
        ("redis+sentinel://one/", "service"),
        ("redis+sentinel:///main", "hosts"),
        ("redis+sentinel://one/main/x", "no number of a database"),
    ],
)
def test_what_is_no_url_is_refused_with_a_sentence(url: str, why: str) -> None:
    """A URL that cannot be meant is a ValueError that says what is wrong with it."""
    with pytest.raises(ValueError, match=why):
        connect(url)


def test_a_refusal_does_not_tell_the_password() -> None:
    """The message of a refusal goes to logs; the password does not."""
    with pytest.raises(ValueError, match="no URL") as refusal:
        connect("http://localhost:secret@localhost")
    assert "secret" not in str(refusal.value)


MAKERS: dict[str, Callable[..., PipelinedRedis]] = {
    "standalone": partial(connect, "redis://h"),
    "cluster": partial(connect, "redis+cluster://h"),
    "sentinel": partial(connect, "redis+sentinel://h/main"),
    "class": PipelinedRedis,
    "class from a URL": partial(PipelinedRedis.from_url, "redis://h"),
    "cluster class": partial(PipelinedCluster, [("h", 6379)]),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("deadline", [0, -1, float("nan"), float("inf")])
def test_a_deadline_is_a_time(make: Callable[..., PipelinedRedis], deadline: float) -> None:
    """A deadline that never or always has passed is refused, whichever way the client is made."""
    with pytest.raises(ValueError, match=r"^deadline must be between"):
        make(deadline=deadline)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("deadline", [None, "5", True])
def test_a_deadline_is_a_number(make: Callable[..., PipelinedRedis], deadline: Any) -> None:
    """What is no number of seconds is no deadline."""
    with pytest.raises(TypeError, match=r"^deadline must be seconds"):
        make(deadline=deadline)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_deadline_may_be_a_timedelta(make: Callable[..., PipelinedRedis]) -> None:
    """A deadline is given like every other duration."""
    assert make(deadline=timedelta(milliseconds=700)).deadline == 0.7


def test_lanes_are_at_least_one() -> None:
    """No lane at all could carry nothing."""
    with pytest.raises(ValueError, match="lanes"):
        connect("redis://h", lanes=0)


async def test_a_class_made_from_a_url_takes_its_own_options(url: str, name: str) -> None:
    """`from_url` gives the same client as `connect` does."""
    told: list[object] = []
    async with PipelinedRedis.from_url(url, deadline=2, lanes=3, on_event=told.append, decode_responses=True) as redis:
        await redis.set(name, "x", ex=60)
        assert await redis.get(name) == "x"
        assert (redis.deadline, len(link_of(redis).lanes), link_of(redis).on_event) == (2, 3, told.append)


@pytest.mark.parametrize("lanes", [1.5, "2", None])
def test_lanes_are_counted(lanes: Any) -> None:
    """What is no whole number is refused where it is given, not by the first command."""
    with pytest.raises(TypeError, match="lanes"):
        connect("redis://h", lanes=lanes)


async def test_a_client_works_without_a_block(server: EmbeddedServer, name: str) -> None:
    """A client that is no context manager connects at its first command and is closed by aclose()."""
    redis = connect(server.url)
    assert await redis.set(name, 1, ex=60)
    await redis.aclose()


async def test_options_win_over_nothing_and_the_url_over_options(server: EmbeddedServer, name: str) -> None:
    """Keyword options are redis-py's, and what the URL says too is the URL's."""
    async with connect(f"{server.url}?client_name=url", client_name="option", decode_responses=True) as redis:
        assert await redis.client_getname() == "url"
        assert await redis.echo("é") == "é"


async def test_a_unix_socket_is_as_good() -> None:
    """A server without a port is reached through its socket."""
    async with embedded_server(unix=True) as server, connect(f"unix://{quote(str(server.unix_path))}?db=2") as redis:
        assert await redis.set("key", 1)
        assert (await redis.client_info())["db"] == 2


async def listen(redis: PipelinedRedis) -> None:
    async with link_of(redis).subscriptions.listen("channel"):
        pass


CALLS: dict[str, Callable[[PipelinedRedis], Awaitable[Any]]] = {
    "command": lambda redis: redis.ping(),
    "blocking read": lambda redis: link_of(redis).blocking.call("BLPOP", "key", 0.01, block=0.01),
    "subscription": listen,
}


@pytest.mark.parametrize("kind", CALLS)
async def test_who_is_refused_is_told_at_once_and_does_not_knock_each_time(
    own_server: EmbeddedServer, kind: str
) -> None:
    """Every call with a wrong password fails with the server's reason, few of them by asking, and none for long."""
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
    await own_server.ask("ACL", "SETUSER", "ada", "on", ">right", "~*", "&*", "+@all")
    async with connect(f"redis://ada:wrong@{own_server.host}:{own_server.port}", deadline=2) as redis:
        knocks, began = await connections_ever(own_server), time.monotonic()
        for _ in range(200):
            with pytest.raises(AuthenticationError, match="invalid username-password"):
                await CALLS[kind](redis)
        assert await connections_ever(own_server) - knocks < 20
        assert time.monotonic() - began < 2
        await own_server.ask("ACL", "SETUSER", "ada", ">wrong")
        await eventually(lambda: works(CALLS[kind](redis)))


async def connections_ever(server: EmbeddedServer) -> int:
    return int(re.search(r"total_connections_received:(\d+)", await server.ask("INFO", "stats"))[1])


async def works(call: Awaitable[Any]) -> bool:
    try:
        await call
    except AuthenticationError:
        return False
    return True


class _Unlucky(CredentialProvider):
    def get_credentials(self) -> tuple[str, str]:
        raise LookupError("no token today")


@pytest.mark.parametrize("kind", CALLS)
async def test_an_option_that_redis_py_does_not_know_is_told_at_once(url: str, kind: str) -> None:
    """A misspelt option is the same TypeError as with redis-py's own client, and nobody waits for the deadline."""
    async with connect(url, deadline=20, client_nmae="web") as redis, asyncio.timeout(5):
        with pytest.raises(TypeError, match="client_nmae"):
            await CALLS[kind](redis)


async def test_a_server_that_is_silent_from_the_start_is_said_to_be(server: EmbeddedServer) -> None:
    """Where not even the handshake is answered, the error says so."""
    async with FaultProxy(server.host or "", server.port or 0) as proxy, connect(proxy.url, deadline=1.5) as redis:
        proxy.black_hole()
        with pytest.raises(
            RedisConnectionError, match=r"^no connection within 1.5 s \(GET was not sent within 1.5 s\)"
        ):
            await redis.get("key")


@pytest.mark.parametrize("kind", CALLS)
async def test_a_handshake_that_fails_in_the_users_code_is_told_at_once(url: str, kind: str) -> None:
    """What a credential provider raises reaches every caller as it is, and nobody waits for the deadline."""
    async with connect(url, deadline=20, credential_provider=_Unlucky()) as redis, asyncio.timeout(5):
        with pytest.raises(LookupError, match="no token today"):
            await CALLS[kind](redis)


async def test_a_user_with_a_password_is_let_in(own_server: EmbeddedServer) -> None:
    """User and password of the URL are sent, percent signs decoded."""
    await own_server.ask("ACL", "SETUSER", "ada", "on", ">s@fe", "~*", "+@all")
    async with connect(f"redis://ada:s%40fe@{own_server.host}:{own_server.port}") as redis:
        assert await redis.acl_whoami() == "ada"
