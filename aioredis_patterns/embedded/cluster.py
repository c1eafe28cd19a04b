"""A Redis Cluster of real servers on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Final

from .process import HOST
from .server import EmbeddedServer, embedded_servers
from .settling import in_step, settled

__all__ = ("EmbeddedCluster", "embedded_cluster")

_SLOTS: Final = 16_384

_OPTIONS: Final = (
    *("--cluster-enabled", "yes"),
    *("--cluster-node-timeout", "2000"),  # milliseconds until a silent node is suspected
    *("--repl-diskless-sync-delay", "0"),  # a replica need not wait for others
)


@dataclass(frozen=True, slots=True)
class EmbeddedCluster:
    """The handle of a running cluster, made by `embedded_cluster`.

    Roles are those at the start: after a failover a server of `replicas` may be a master.

    Example:
        ```python
        async with embedded_cluster(masters=3, replicas=1) as cluster:
            assert cluster.nodes == (*cluster.masters, *cluster.replicas)
            await cluster.masters[0].kill()  # its replica takes over, after some 3 s
        ```
    """

    masters: tuple[EmbeddedServer, ...]
    """The servers that were given the slots, in equal ranges, lowest first."""

    replicas: tuple[EmbeddedServer, ...]
    """The others; replica `i` was given to master `i % len(masters)`."""

    @property
    def nodes(self) -> tuple[EmbeddedServer, ...]:
        """All servers, masters first."""
        return self.masters + self.replicas

    @property
    def url(self) -> str:
        """Where to connect to: `redis+cluster://127.0.0.1:14711`, the first master."""
        return f"redis+cluster://{HOST}:{self.masters[0].port}"


@asynccontextmanager
async def embedded_cluster(
    *, masters: int = 3, replicas: int = 1, args: Sequence[str] = (), program: str | None = None
) -> AsyncIterator[EmbeddedCluster]:
    """Run a Redis Cluster for as long as the block lasts.

    The promise: when the block begins, every slot is served, every node knows every other, and every replica is in
    step with its master. The servers are as from `embedded_server`, always of their own: `REDIS_URL` is not looked at.
    The limit: without replicas, or with fewer than three masters, nothing takes over for a master that dies.

    Cost: about 2.5 s to start, of which a master waits 2 s by itself before it accepts writes.

    Args:
        masters: How many servers share the slots.
        replicas: How many servers copy each master.
        args: Further options of every server.
        program: Path or name of the server program.

    Raises:
        ServerUnavailableError: A server did not start, or the nodes did not agree within 30 s.

    Example:
        ```python
        async with embedded_cluster() as cluster, connect(cluster.url) as redis:
            await redis.set("greeting", "hello")
        ```
    """
    async with embedded_servers(masters * (1 + replicas), args=(*_OPTIONS, *args), program=program) as servers:
        cluster = EmbeddedCluster(tuple(servers[:masters]), tuple(servers[masters:]))
        await _share_slots(cluster.masters)
        await _introduce(cluster.nodes)
        await _give_replicas(cluster)
        serving = [partial(_serves, node, len(cluster.replicas)) for node in cluster.nodes]
        copying = [partial(in_step, replica) for replica in cluster.replicas]
        await settled("the cluster", [*serving, *copying])
        yield cluster


async def _share_slots(masters: Sequence[EmbeddedServer]) -> None:
    for number, master in enumerate(masters):
        first, end = (_SLOTS * bound // len(masters) for bound in (number, number + 1))
        await master.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)  # else all have 0 and settle that first
        await master.ask("CLUSTER", "ADDSLOTS", *range(first, end))


async def _introduce(nodes: Sequence[EmbeddedServer]) -> None:
    for one, other in combinations(nodes, 2):
        await one.ask("CLUSTER", "MEET", HOST, str(other.port))
    await settled("the acquaintance of the cluster's nodes", [partial(_knows, node, len(nodes)) for node in nodes])


async def _give_replicas(cluster: EmbeddedCluster) -> None:
    ids = [await master.ask("CLUSTER", "MYID") for master in cluster.masters]
    for number, replica in enumerate(cluster.replicas):
        await replica.ask("CLUSTER", "REPLICATE", ids[number % len(ids)])


async def _knows(node: EmbeddedServer, count: int) -> bool:
    known = await _known(node)
    return len(known) == count and all("handshake" not in flags and link == "connected" for flags, link in known)


async def _serves(node: EmbeddedServer, replicas: int) -> bool:
    if "cluster_state:ok" not in await node.ask("CLUSTER", "INFO"):
        return False
    return sum("slave" in flags for flags, _ in await _known(node)) == replicas


async def _known(node: EmbeddedServer) -> list[tuple[str, str]]:
    """Flags and link state of every node that this one knows, itself included."""
    lines = (await node.ask("CLUSTER", "NODES")).splitlines()
    return [(fields[2], fields[7]) for fields in map(str.split, lines)]
