"""redis-py's subscriber of a cluster, which finds out who the nodes are; importable since redis-py 8."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio.cluster import ClusterPubSub
from redis.exceptions import TimeoutError as RedisTimeoutError

from .apart import keep_nodes_apart

__all__ = ("ClusterSubscriber",)


class ClusterSubscriber(ClusterPubSub):
    """What `pubsub()` gives on a cluster: redis-py's own, which knows no node before somebody has asked for them.

    Set by the client that makes it: `deadline`, the seconds that asking for the nodes may take.
    """

    deadline: float

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        await self._find_nodes()
        return await super().execute_command(*args, **options)

    async def ssubscribe(self, *args: Any, **handlers: Any) -> None:
        await self._find_nodes()
        await super().ssubscribe(*args, **handlers)

    async def _find_nodes(self) -> None:
        keep_nodes_apart(self.cluster)
        try:
            async with asyncio.timeout(self.deadline):
                await self.cluster.initialize()
        except TimeoutError as error:
            raise RedisTimeoutError(f"no node of the cluster answered within {self.deadline:g} s") from error
