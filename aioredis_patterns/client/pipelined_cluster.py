"""`PipelinedCluster`: a client of a whole cluster, with one shared connection to each of its nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, cast

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.client import Monitor
from redis.asyncio.cluster import ClusterNode
from redis.client import NEVER_DECODE

from aioredis_patterns.errors import TransportError
from aioredis_patterns.types import EventHook, Seconds

from .apart import keep_apart, keep_nodes_apart
from .attach import close_link, link_of
from .cluster import ClusterLink, connection_options
from .cluster_blocking import Address, at_owner
from .cluster_pipeline import OnceClusterPipeline
from .lane import SWEEP, Lane
from .link import DEADLINE, Request, verdict
from .pipeline import OncePipeline
from .pipelined import PipelinedRedis, find_callback, shaped
from .private import execute_private
from .redis_py import careful_options
from .routes import READ, blocking_key, blocking_time, find_flags
from .wire import Unanswered

__all__ = ("PipelinedCluster",)


def _first(replies: list[Any]) -> Any:
    return replies[0]


def _together(replies: list[Any]) -> list[Any]:
    return [item for reply in replies for item in reply]


def _everywhere(replies: list[Any]) -> list[int]:
    return [min(column) for column in zip(*replies, strict=True)]


_ON_ALL_PRIMARIES: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "DBSIZE": sum,
    "FLUSHALL": _first,
    "FLUSHDB": _first,
    "KEYS": _together,
    "SCRIPT EXISTS": _everywhere,
    "SCRIPT FLUSH": _first,
    "SCRIPT LOAD": _first,
}
"""Commands that have no key and concern every primary, and what makes one reply of theirs."""

_ON_NO_NODE: Final = frozenset(("MONITOR", "SCAN", "WAIT", "WAITAOF"))
"""Commands that mean something on one certain node or connection only."""


class PipelinedCluster(PipelinedRedis):
    """A `PipelinedRedis` for a cluster, as `connect("redis+cluster://...")` gives it.

    A command goes to the node that owns its first key's slot; one with several keys in different slots is refused by
    the server with CROSSSLOT. DBSIZE, KEYS, FLUSHALL, FLUSHDB, SCRIPT LOAD, EXISTS and FLUSH go to every primary and
    come back as one reply; other commands without a key go to one node. `pipeline()` and `pubsub()` are those of
    redis-py's `RedisCluster`, built with its retries off; a pipeline ends within the deadline.

    Promise: that of `PipelinedRedis`, across MOVED, ASK, TRYAGAIN, CLUSTERDOWN and failover: what was not executed is
    sent to where the slot is now, until the deadline.

    Limit of the promise: SCAN, WAIT, MONITOR, `target_nodes=`, and commands of modules raise `TransportError`. For
    them there is `cluster_client`, which is redis-py's.

    Cost: one connection for each node that is used, one round trip a command, one more when a slot has moved.

    Args:
        nodes: Host and port of some nodes; the others are found through them.
        deadline: Seconds that a call may take.
        lanes: How many connections share the commands of one node.
        on_event: Told `ScriptCalled` for each script that a pattern calls, and `Reconnected`.
        redis_py_options: Everything that `redis.asyncio.RedisCluster` takes.
    """

    cluster_client: RedisCluster
    """redis-py's own client of the same cluster, with its retries off."""

    def __init__(
        self,
        nodes: Sequence[Address],
        *,
        deadline: Seconds = DEADLINE,
        lanes: int = 1,
        on_event: EventHook | None = None,
        **redis_py_options: Any,
    ) -> None:
        starts = [ClusterNode(host, port) for host, port in nodes]
        self.cluster_client = RedisCluster(startup_nodes=starts, **(careful_options() | redis_py_options))
        self._pools: dict[Address, ConnectionPool] = {}
        super().__init__(connection_pool=self._pool(nodes[0]), deadline=deadline, lanes=lanes, on_event=on_event)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to where it belongs and give its reply, as redis-py would."""
        name = args[0]
        if "target_nodes" in options or name in _ON_NO_NODE:
            _refuse(name)
        merge = _ON_ALL_PRIMARIES.get(name)
        if merge is not None:
            return await self._execute_on_all(merge, args, options)
        if find_flags(name) is not None:
            return await super().execute_command(*args, **options)
        return await self._execute_private(args, options)

    async def _execute_on_all(
        self, merge: Callable[[list[Any]], Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        name, link = args[0], self._link
        expires = link.loop.time() + self.deadline
        lanes = await link.primaries(self.deadline)
        packed = self._route.pack((*name.split(), *args[1:]))
        decode = self._route.decodes and NEVER_DECODE not in options
        asked = (_ask(lane, packed, expires, decode) for lane in lanes)
        request = Request(name, packed, expires, "", repeatable=bool((find_flags(name) or 0) & READ))
        replies = await asyncio.gather(*asked, return_exceptions=True)
        for lane, reply in zip(lanes, replies, strict=True):
            if isinstance(reply, BaseException):
                raise verdict(reply, lane, request) if isinstance(reply, Unanswered) else reply
        callback = find_callback(self._route.callbacks, name)
        reply = merge(replies)
        return reply if callback is None else await shaped(callback, reply, options)

    async def _execute_private(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Execute a command on a connection of its own to the owner of its key, or to any node."""
        name = args[0].decode() if isinstance(args[0], bytes) else str(args[0])
        if name != name.upper() or isinstance(args[0], bytes):
            return await self.execute_command(name.upper(), *args[1:], **options)
        key = blocking_key(args)
        if key is None and self.cluster_client.command_flags.get(name) != RedisCluster.DEFAULT_NODE:
            _refuse(name)
        return await at_owner(
            self._link, "" if key is None else key, lambda at, asking: self._execute_at(at, asking, args, dict(options))
        )

    async def _execute_at(self, address: Address, asking: bool, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        pool = self._pool(address)
        if not asking:
            return await execute_private(Redis(connection_pool=pool), args, options, self.deadline)
        block = blocking_time(args)
        async with OncePipeline(pool, self.response_callbacks, False, None) as pipeline:
            pipeline.deadline = float("inf") if block is None else self.deadline + block
            pipeline.execute_command("ASKING")
            pipeline.execute_command(*args, **options)
            return (await pipeline.execute())[1]

    @property
    def _link(self) -> ClusterLink:
        return cast(ClusterLink, link_of(self))

    def _pool(self, address: Address) -> ConnectionPool:
        pool = self._pools.get(address)
        if pool is None:
            host, port = address
            user = connection_options(self.cluster_client)
            kind = self.cluster_client.connection_kwargs["connection_class"]
            # A read may block for longer than any timeout of the socket; deadlines end every call.
            ours = {**careful_options(), "host": host, "port": port, "socket_timeout": None}
            pool = self._pools[address] = ConnectionPool(connection_class=kind, **(user | ours))
            keep_apart(pool)
        return pool

    def pipeline(  # type: ignore[override]
        self, transaction: bool | None = None, shard_hint: str | None = None
    ) -> OnceClusterPipeline:
        """A pipeline of redis-py's cluster client; with `transaction=True` all its keys are in one slot."""
        self.cluster_client.pipeline(transaction, shard_hint)  # refuses what it does not support
        return OnceClusterPipeline(self.cluster_client, transaction, self.deadline)  # type: ignore[abstract]

    def pubsub(self, **options: Any) -> Any:
        """A subscriber of redis-py's cluster client; before redis-py 8, of one node, which hears what any publishes."""
        if not hasattr(self.cluster_client, "pubsub"):
            return super().pubsub(**options)
        from .cluster_subscriber import ClusterSubscriber  # noqa: PLC0415

        subscriber = ClusterSubscriber(self.cluster_client, **options)
        subscriber.deadline = self.deadline
        return subscriber

    def monitor(self) -> Monitor:
        """Not to be had from a cluster.

        Raises:
            TransportError: Always.
        """
        _refuse("MONITOR")

    def client(self) -> PipelinedRedis:
        """Not to be had: one connection reaches one node.

        Raises:
            TransportError: Always.
        """
        _refuse("A client of a single connection")

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close every connection to every node; a later call opens new ones."""
        await close_link(self)
        await super().aclose(close_connection_pool)
        for pool in self._pools.values():
            await pool.disconnect()
        keep_nodes_apart(self.cluster_client)
        await self.cluster_client.aclose()


async def _ask(lane: Lane, packed: bytes, expires: float, decode: bool) -> Any:
    left = max(round(expires - lane.loop.time(), 2), SWEEP)
    if lane.full:
        left = await lane.room(left)
    return await lane.submit(packed, left, decode)


def _refuse(what: str) -> NoReturn:
    raise TransportError(f"{what} goes to no single node of a cluster; say which through redis.cluster_client")
