"""What the tour looks at on its server, or on every primary of a cluster: keys, counts of commands, connections."""

from __future__ import annotations

from collections import Counter
from typing import Any

from redis.asyncio import Redis, RedisCluster

from aioredis_patterns.client import PipelinedRedis

__all__ = ("calls_of", "connections_of", "keys_of", "redis_pys")


def redis_pys(redis: PipelinedRedis) -> RedisCluster | None:
    """redis-py's own client of the cluster, which can ask every node; None where there is one server."""
    cluster: RedisCluster | None = getattr(redis, "cluster_client", None)
    return cluster


async def keys_of(redis: PipelinedRedis, prefix: str) -> set[str]:
    """The keys under a prefix."""
    client: Any = redis_pys(redis) or redis
    return {key.decode() async for key in client.scan_iter(match=f"{prefix}:*", count=1000)}


async def calls_of(redis: PipelinedRedis) -> Counter[str]:
    """How often each command was executed so far."""
    calls: Counter[str] = Counter()
    for stats in await _of_each(redis, Redis.info, "commandstats"):
        calls.update({name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()})
    return calls


async def connections_of(redis: PipelinedRedis, client_name: str) -> int:
    """The most connections that a node has of clients with this name."""
    names = [[client["name"] for client in of_node] for of_node in await _of_each(redis, Redis.client_list)]
    return max(of_node.count(client_name) for of_node in names)


async def _of_each(redis: PipelinedRedis, ask: Any, *args: str) -> list[Any]:
    """What each node answers."""
    cluster = redis_pys(redis)
    if cluster is None:
        return [await ask(redis, *args)]
    answers = await ask(cluster, *args, target_nodes=RedisCluster.PRIMARIES)
    return list(answers.values())
