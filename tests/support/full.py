"""A server that has no memory left."""

from __future__ import annotations

from redis.asyncio import Redis


async def fill(redis: Redis) -> None:
    """From now on the server refuses whatever may need memory, and evicts nothing."""
    await redis.config_set("maxmemory-policy", "noeviction")
    await redis.config_set("maxmemory", 1)
