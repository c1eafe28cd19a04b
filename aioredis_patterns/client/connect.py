"""`connect`: one function for every way in which a Redis may be reached, told apart by the URL."""

from __future__ import annotations

import re
from typing import Any, Final, TypedDict
from urllib.parse import unquote

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

from aioredis_patterns._core.durations import deadline_seconds
from aioredis_patterns.types import EventHook, Seconds

from .link import DEADLINE
from .pipelined import PipelinedRedis
from .pipelined_cluster import PipelinedCluster
from .redis_py import careful_options

__all__ = ("connect",)

_URL: Final = re.compile(
    r"(?P<scheme>[a-z+]+)://(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?"
)
_FORMS: Final = (
    "redis://host:port/db, rediss://host:port/db, unix:///path?db=0, redis+cluster://host:port,host:port, "
    "redis+sentinel://host:port,host:port/service/db"
)

_DEFAULT_PORT: Final = 6379
_DEFAULT_SENTINEL_PORT: Final = 26_379


def connect(
    url: str,
    *,
    deadline: Seconds = DEADLINE,
    lanes: int = 1,
    on_event: EventHook | None = None,
    **redis_py_options: Any,
) -> PipelinedRedis:
    """A client of redis-py's that shares one connection, for a server, a cluster or a primary behind Sentinels.

    ================================================  =================================================================
    URL                                               What it reaches
    ================================================  =================================================================
    `redis://[user:password@]host[:port][/db]`        a server
    `rediss://...`                                    the same through TLS
    `unix:///path/to.sock[?db=0]`                     a server on this machine
    `redis+cluster://host:port[,host:port...]`        a cluster, found through any of these nodes
    `redis+sentinel://host:port[,...]/service[/db]`   the primary that these Sentinels name, also after a failover
    ================================================  =================================================================

    `rediss+cluster://` and `rediss+sentinel://` go through TLS. A query holds redis-py's options:
    `?socket_connect_timeout=2&client_name=web`. User and password are those of the data servers; what differs for
    the Sentinels is given as `sentinel_kwargs`, as to `redis.asyncio.sentinel.Sentinel`.

    Promise: nothing is sent before the first command, which opens the connection and opens it again whenever it is
    lost. No command is ever sent twice behind the caller's back.

    Limit of the promise: with a cluster, `pipeline()` and `pubsub()` are redis-py's own; see `PipelinedCluster`.

    Cost: no I/O here; one connection later, with a cluster one for each node that is used.

    Args:
        url: What to reach; one of the forms above.
        deadline: Seconds that a call may take.
        lanes: How many connections share the commands; the commands of one key always take the same.
        on_event: Told `ScriptCalled` for each script that a pattern calls, and `Reconnected`; see the events.
        redis_py_options: Options of redis-py's connections, as `redis.asyncio.Redis.from_url` takes them.

    Raises:
        ValueError: The URL has none of these forms; nothing was tried.

    Example:
        >>> async with connect("redis://localhost:6379/0") as redis:
        ...     await redis.set("greeting", "hello", ex=60)
        ...     await redis.get("greeting")
        True
        b'hello'
    """
    parts = _URL.fullmatch(url)
    kind = "" if parts is None else parts["scheme"]
    if parts is None or kind not in _MAKERS:
        raise ValueError(f"{_without_password(url)!r} is no URL of Redis; there are: {_FORMS}")
    ours = _Ours(deadline=deadline_seconds(deadline), lanes=lanes, on_event=on_event)
    return _MAKERS[kind](parts, ours, redis_py_options)


class _Ours(TypedDict):
    """The options that are not redis-py's."""

    deadline: float
    lanes: int
    on_event: EventHook | None


def _standalone(parts: re.Match[str], ours: _Ours, options: dict[str, Any]) -> PipelinedRedis:
    if parts["scheme"] == "unix" and parts["path"] is None:
        raise ValueError("a unix:// URL names the path of a socket: unix:///run/redis.sock?db=0")
    if "," in parts["hosts"]:
        raise ValueError(f"{parts['hosts']!r} are several hosts; for a cluster say redis+cluster://")
    if parts["scheme"] != "unix":
        _database(parts["path"] or "")
    _options_of(parts, parts["hosts"], parts["path"] or "")
    pool = ConnectionPool.from_url(parts[0], **(careful_options() | options))
    return _owner_of(pool, ours)


def _cluster(parts: re.Match[str], ours: _Ours, options: dict[str, Any]) -> PipelinedRedis:
    nodes = [_address(host, _DEFAULT_PORT) for host in _hosts(parts)]
    shared = _options_of(parts, "", "")
    if database := _database(parts["path"] or "") or shared.get("db"):
        raise ValueError(f"a cluster has database 0 alone, not {database}")
    if shared.pop("connection_class", None) is SSLConnection:
        shared["ssl"] = True
    return PipelinedCluster(nodes, **ours, **(careful_options() | options | shared))


def _sentinel(parts: re.Match[str], ours: _Ours, options: dict[str, Any]) -> PipelinedRedis:
    service, _, database = (parts["path"] or "/")[1:].partition("/")
    if not service:
        raise ValueError(f"a Sentinel URL names a service: redis+sentinel://{parts['hosts']}/service/db")
    sentinels = [_address(host, _DEFAULT_SENTINEL_PORT) for host in _hosts(parts)]
    shared = careful_options() | options | _options_of(parts, "", f"/{_database(database)}")
    tls = {"ssl": True} if shared.pop("connection_class", None) is SSLConnection else {}
    # One Sentinel that is silent must leave time to ask another within the deadline of a call.
    patience = ours["deadline"] / (len(sentinels) + 1)
    timeouts = {"socket_timeout": patience, "socket_connect_timeout": patience}
    asked = careful_options() | timeouts | tls | (shared.pop("sentinel_kwargs", None) or {})
    minimum = int(shared.pop("min_other_sentinels", 0))
    manager = Sentinel(sentinels, min_other_sentinels=minimum, sentinel_kwargs=asked)
    pool: ConnectionPool = _SentinelPool(unquote(service), manager, **shared, **tls)  # type: ignore[no-untyped-call]
    return _owner_of(pool, ours)


class _SentinelPool(SentinelConnectionPool):
    """Closes the connections to the Sentinels with its own, which redis-py leaves open."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


_MAKERS: Final = {
    "redis": _standalone,
    "rediss": _standalone,
    "unix": _standalone,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
    "redis+sentinel": _sentinel,
    "rediss+sentinel": _sentinel,
}


def _owner_of(pool: ConnectionPool, ours: _Ours) -> PipelinedRedis:
    redis = PipelinedRedis(connection_pool=pool, **ours)
    redis.auto_close_connection_pool = True
    return redis


def _options_of(parts: re.Match[str], hosts: str, path: str) -> dict[str, Any]:
    """What user, password, path and query say, as redis-py reads them."""
    scheme = parts["scheme"].partition("+")[0]
    return dict(parse_url(f"{scheme}://{parts['user'] or ''}{hosts}{path}{parts['query'] or ''}"))


def _hosts(parts: re.Match[str]) -> list[str]:
    hosts: list[str] = parts["hosts"].split(",")
    if not all(hosts):
        raise ValueError(f"{parts['scheme']}:// names hosts, with commas between them: {_FORMS}")
    return hosts


def _address(host: str, default_port: int) -> tuple[str, int]:
    try:
        found: dict[str, Any] = {**parse_url(f"redis://{host}")}
        return found["host"], found.get("port", default_port)
    except (KeyError, ValueError):
        raise ValueError(f"{host!r} is no host:port") from None


def _database(path: str) -> int:
    number = path.strip("/")
    if number and not number.isdecimal():
        raise ValueError(f"{path!r} is no number of a database")
    return int(number or 0)


def _without_password(url: str) -> str:
    return re.sub(r"(?<=:)[^/@:]*(?=@)", "***", url)
