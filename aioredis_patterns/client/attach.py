"""How a pattern finds the connection it runs on, whichever way the user built the client.

`link_of(redis)` gives the `Link` that belongs to that client's pool and the running event loop, and makes it on first
use. Clients that share a pool share the link. It lives as long as its pool; closing the client closes it; a second
event loop, or a forked process with a loop of its own, gets a link of its own and never another's reply.
"""

from __future__ import annotations

import asyncio

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from aioredis_patterns.errors import TransportError
from aioredis_patterns.types import AnyRedis

from .apart import keep_sentinels_apart
from .cluster import ClusterLink
from .link import DEADLINE, Link

__all__ = ("close_link", "is_cluster", "link_of")

_ATTRIBUTE = "_aioredis_patterns_link"
_LINKS = "_aioredis_patterns_links"


def link_of(redis: AnyRedis) -> Link:
    """The link of this client on the running event loop.

    Raises:
        TransportError: This is not an asyncio client of redis-py.
    """
    link: Link | None = getattr(redis, _ATTRIBUTE, None)
    if link is not None and link.home.here():
        return link
    link = _links(redis).get(asyncio.get_running_loop())
    if link is None:
        link = _attach(redis)
    setattr(redis, _ATTRIBUTE, link)
    return link


def is_cluster(redis: AnyRedis) -> bool:
    """Whether the keys of this client are spread over the nodes of a cluster.

    Raises:
        TransportError: This is not an asyncio client of redis-py.
    """
    return isinstance(_owner(redis), RedisCluster)


async def close_link(redis: AnyRedis) -> None:
    """Close what is attached to this client on the running event loop; calls under way end with an error."""
    link = _links(redis).get(asyncio.get_running_loop())
    if link is not None:
        await link.aclose()


def _owner(redis: AnyRedis) -> ConnectionPool | RedisCluster:
    """What the links of a client belong to: its pool; a cluster client of redis-py's is a pool of its own."""
    if isinstance(redis, RedisCluster):
        return redis
    if not isinstance(redis, Redis):
        kind = f"{type(redis).__module__}.{type(redis).__qualname__}"
        raise TransportError(f"a client of redis.asyncio is needed (Redis, RedisCluster, connect()), not {kind}")
    cluster: RedisCluster | None = getattr(redis, "cluster_client", None)
    return redis.connection_pool if cluster is None else cluster


def _links(redis: AnyRedis) -> dict[asyncio.AbstractEventLoop, Link]:
    owner = _owner(redis)
    links: dict[asyncio.AbstractEventLoop, Link] | None = getattr(owner, _LINKS, None)
    if links is None:
        links = {}
        setattr(owner, _LINKS, links)
        _close_together(owner, links)
    for loop in [loop for loop in list(links) if loop.is_closed()]:  # other threads look at the same dictionary
        links.pop(loop, None)
    return links


def _attach(redis: AnyRedis) -> Link:
    owner = _owner(redis)
    deadline, lanes = getattr(redis, "deadline", DEADLINE), getattr(redis, "lanes", 1)
    on_event = getattr(redis, "on_event", None)
    if isinstance(owner, RedisCluster):
        link: Link = ClusterLink(owner, deadline=deadline, lanes=lanes, on_event=on_event)
    else:
        options = owner.connection_kwargs
        link = Link(
            owner.make_connection,
            deadline=deadline,
            lanes=lanes,
            encoding=options.get("encoding", "utf-8"),
            errors=options.get("encoding_errors", "strict"),
            rediscovers=isinstance(owner, SentinelConnectionPool),
            on_event=on_event,
        )
    _links(redis)[link.loop] = link
    return link


def _close_together(owner: ConnectionPool | RedisCluster, links: dict[asyncio.AbstractEventLoop, Link]) -> None:
    """Closing the pool, which is what closing its client does, closes what was attached to it."""
    if isinstance(owner, RedisCluster):
        aclose = owner.aclose

        async def retire_and_close() -> None:
            link = links.get(asyncio.get_running_loop())
            if isinstance(link, ClusterLink):
                await link.retire()
            await aclose()

        owner.aclose = retire_and_close  # type: ignore[method-assign]
    else:
        keep_sentinels_apart(owner)
        disconnect = owner.disconnect

        async def disconnect_all(inuse_connections: bool = True) -> None:
            link = links.get(asyncio.get_running_loop())
            if inuse_connections and link is not None:
                await link.aclose()
            await disconnect(inuse_connections)

        owner.disconnect = disconnect_all  # type: ignore[method-assign]
