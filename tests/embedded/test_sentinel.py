from __future__ import annotations

from redis.asyncio.sentinel import Sentinel

from aioredis_patterns.embedded import EmbeddedSentinel, embedded_sentinel
from tests.support.waiting import eventually


async def primary_port(watched: EmbeddedSentinel, sentinel: int) -> int:
    """Where one of the Sentinels says that the primary is."""
    address = await watched.sentinels[sentinel].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", watched.name)
    return int(address[1])


async def test_sentinels_know_the_primary_and_its_replicas() -> None:
    """When the block begins, a client of any Sentinel finds the primary and every replica."""
    async with embedded_sentinel(replicas=2, name="orders") as watched:
        assert watched.url == f"redis+sentinel://127.0.0.1:{watched.sentinels[0].port}/orders/0"
        for sentinel in watched.sentinels:
            finder = Sentinel([("127.0.0.1", sentinel.port)])
            assert await finder.discover_master("orders") == ("127.0.0.1", watched.primary.port)
            found = {port for _, port in await finder.discover_slaves("orders")}
            assert found == {replica.port for replica in watched.replicas}
            await finder.sentinels[0].aclose()


async def test_replicas_copy_the_primary() -> None:
    """What is written to the primary arrives at the replicas."""
    async with embedded_sentinel(sentinels=1) as watched:
        await watched.primary.ask("SET", "n", 1)
        await eventually(lambda: watched.replicas[0].ask("GET", "n"))


async def test_a_dead_primary_is_replaced() -> None:
    """When the primary dies, the Sentinels agree on the replica, which takes writes, the old data in it."""
    async with embedded_sentinel() as watched:
        await watched.primary.ask("SET", "n", 1)
        [heir] = watched.replicas
        await eventually(lambda: heir.ask("GET", "n"))
        await watched.primary.kill()
        for number in range(3):

            async def replaced(sentinel: int = number) -> bool:
                return await primary_port(watched, sentinel) == heir.port

            await eventually(replaced, timeout=30)
        assert await heir.ask("INCR", "n") == 2
