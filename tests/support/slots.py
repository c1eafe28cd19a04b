"""Moving the slots of a cluster about, as its administrator does."""

from __future__ import annotations

from aioredis_patterns._core.keys import slot
from aioredis_patterns.embedded import EmbeddedCluster, EmbeddedServer


async def owner_of(cluster: EmbeddedCluster, key: str) -> EmbeddedServer:
    """The server that has the key's slot, as the cluster itself sees it."""
    [owner] = [node for node in cluster.nodes if await _owns(node, slot(key))]
    return owner


async def another_than(cluster: EmbeddedCluster, key: str) -> EmbeddedServer:
    """A primary that does not have the key's slot."""
    for node in cluster.nodes:
        if (await node.ask("ROLE"))[0] == "master" and not await _owns(node, slot(key)):
            return node
    raise AssertionError("one node has it all")


class Migration:
    """A slot on its way from its owner to another node.

    Args:
        source: Who has it.
        target: Who is to have it.
        key: A key in the slot.
    """

    def __init__(self, source: EmbeddedServer, target: EmbeddedServer, key: str) -> None:
        self.source = source
        self.target = target
        self.slot = slot(key)

    async def begin(self) -> None:
        """From now on the source sends what it has not, or has no longer, to the target with ASK."""
        await self.target.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", await self.source.ask("CLUSTER", "MYID"))
        await self.source.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", await self.target.ask("CLUSTER", "MYID"))

    async def move_key(self, key: str) -> None:
        await self.source.ask("MIGRATE", self.target.host or "", str(self.target.port), key, 0, 1000)

    async def move_keys(self) -> None:
        """Move them one by one until the source has none."""
        while keys := await self.source.ask("CLUSTER", "GETKEYSINSLOT", self.slot, 1):
            await self.move_key(keys[0])

    async def end(self, cluster: EmbeddedCluster) -> None:
        """Give the slot to the target, and let every primary know."""
        new_owner = await self.target.ask("CLUSTER", "MYID")
        primaries = [node for node in cluster.nodes if (await node.ask("ROLE"))[0] == "master"]
        for node in sorted(primaries, key=lambda node: node is not self.target):
            await node.ask("CLUSTER", "SETSLOT", self.slot, "NODE", new_owner)

    async def run(self, cluster: EmbeddedCluster) -> None:
        await self.begin()
        await self.move_keys()
        await self.end(cluster)


async def _owns(node: EmbeddedServer, number: int) -> bool:
    if (await node.ask("ROLE"))[0] != "master":
        return False
    shards = await node.ask("CLUSTER", "SLOTS")
    return any(first <= number <= last and server[1] == node.port for first, last, server, *_ in shards)
