"""redis-py's pipeline over the nodes of a cluster, within a deadline and honest about what was lost."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterPipeline
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.errors import OutcomeUnknownError

from .apart import keep_nodes_apart

__all__ = ("OnceClusterPipeline",)

_TRANSACTIONS: Final = "transaction" in inspect.signature(ClusterPipeline.__init__).parameters


class OnceClusterPipeline(ClusterPipeline):
    """What `pipeline()` gives on a cluster: redis-py's own, whose `execute` ends within the client's deadline.

    Args:
        cluster: redis-py's client of the cluster, with its retries off.
        transaction: Whether it is one MULTI, with all keys in one slot; since redis-py 6.
        deadline: Seconds that `execute` may take.
    """

    def __init__(self, cluster: RedisCluster, transaction: bool | None, deadline: float) -> None:
        if _TRANSACTIONS:
            super().__init__(cluster, transaction)
        else:
            super().__init__(cluster)
        self.deadline = deadline
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        """Execute what was queued, on a connection to each node that it concerns.

        Raises:
            OutcomeUnknownError: Commands may have been written, and a reply was lost or did not come in time.
            redis.exceptions.TimeoutError: No node has told within the deadline who owns which slot.
            redis.exceptions.RedisClusterException: No node could be reached.
        """
        reached = False
        keep_nodes_apart(self._cluster)
        try:
            async with asyncio.timeout(self.deadline):
                await self._cluster.initialize()
                reached = True
                return await super().execute(raise_on_error, allow_redirections)
        except (AuthenticationError, BusyLoadingError):
            raise
        except (RedisConnectionError, RedisTimeoutError, TimeoutError) as error:
            if reached:
                raise OutcomeUnknownError("pipeline", str(error) or f"no reply within {self.deadline:g} s") from error
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError(f"no node of the cluster answered within {self.deadline:g} s") from error
            raise
