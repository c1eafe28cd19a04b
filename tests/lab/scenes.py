"""Where a storm takes place: the servers, the proxies before them, and what can happen to nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from redis.exceptions import ResponseError

from aioredis_patterns.embedded import EmbeddedCluster, EmbeddedServer, embedded_cluster, embedded_server
from tests.lab.crew import Crew
from tests.lab.scene import FOR_ONE_SERVER, KEEPING, Disturb, Scene, nothing
from tests.lab.watched import outage, sentinel
from tests.support.faults import FaultProxy
from tests.support.slots import Migration, another_than, owner_of
from tests.support.waiting import eventually

__all__ = ("SCENES",)


@contextlib.asynccontextmanager
async def one_server(seed: int) -> AsyncIterator[Scene]:
    """One server that keeps what it has answered, behind a proxy."""
    async with embedded_server(args=KEEPING) as server, _proxy(server, seed) as proxy:
        yield Scene(proxy.url, server.url, [server], [proxy])


def _proxy(server: EmbeddedServer, seed: int) -> FaultProxy:
    return FaultProxy(str(server.host), int(server.port or 0), seed=seed)


@contextlib.asynccontextmanager
async def three_nodes(seed: int) -> AsyncIterator[Scene]:
    """A cluster whose slots move and whose replicas take over, in order, while it is used.

    No node is killed: what a replica has not yet been told is lost with its primary, whatever a client does.
    """
    async with embedded_cluster(args=KEEPING) as cluster:
        moves: dict[str, tuple[int, Disturb]] = {
            "slot moved": (20, partial(_move_slot, cluster)),
            "replica took over": (6, partial(_take_over, cluster)),
            "CLIENT KILL": (10, partial(_kill_clients, cluster)),
        }
        never: dict[str, tuple[int, Disturb]] = dict.fromkeys(FOR_ONE_SERVER, (0, nothing))
        yield Scene(cluster.url, cluster.url, cluster.nodes, own=moves | never)


async def _move_slot(cluster: EmbeddedCluster, scene: Scene, crew: Crew, size: float) -> None:
    """Move the slot of some key to another node, key by key."""
    if scene.away.locked():
        return
    async with scene.away:
        primaries = [node for node in cluster.nodes if (await node.ask("ROLE"))[0] == "master"]
        if key := await primaries[int(size * len(primaries))].ask("RANDOMKEY"):
            await Migration(await owner_of(cluster, key), await another_than(cluster, key), key).run(cluster)


async def _take_over(cluster: EmbeddedCluster, scene: Scene, crew: Crew, size: float) -> None:
    """Let a replica take the place of its primary, which first hands it all that it has."""
    if scene.away.locked():
        return
    async with scene.away:
        replicas = [node for node in cluster.nodes if (await node.ask("ROLE"))[0] == "slave"]
        chosen = replicas[int(size * len(replicas))]

        async def took_over() -> bool:
            if (await chosen.ask("ROLE"))[0] == "master":
                return True
            with contextlib.suppress(ResponseError):  # it is not in step with its primary yet
                await chosen.ask("CLUSTER", "FAILOVER")
            return False

        await eventually(took_over, timeout=60, every=1)


async def _kill_clients(cluster: EmbeddedCluster, scene: Scene, crew: Crew, size: float) -> None:
    """Let the nodes close all connections, but not while one of them serves who moves a slot."""
    async with scene.away:
        for node in cluster.nodes:
            await node.ask("CLIENT", "KILL", "TYPE", "pubsub" if size < 0.3 else "normal", "SKIPME", "yes")


SCENES: dict[str, Callable[[int], AbstractAsyncContextManager[Scene]]] = {
    "server": one_server,
    "cluster": three_nodes,
    "sentinel": sentinel,
    "outage": outage,
}
"""Each takes the seed."""
