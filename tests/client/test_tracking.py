"""Who keeps a copy is told when it is out of date, or that it may be."""

from __future__ import annotations

import pytest
import redis.asyncio as redis_py

from aioredis_patterns import connect
from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.client.tracking import Tracking
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import TransportError
from tests.support.faults import FaultProxy
from tests.support.waiting import eventually


def heard_by(tracking: Tracking) -> list[list[bytes] | None]:
    heard: list[list[bytes] | None] = []
    tracking.listen(heard.append)
    return heard


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("writer", ["another", "own"])
async def test_a_change_to_what_was_read_is_told(url: str, name: str, protocol: int, writer: str) -> None:
    """Another client's write and the own client's are told alike, on RESP2 clients too."""
    async with redis_py.Redis.from_url(url, protocol=protocol) as redis, connect(url) as other:
        await other.set(name, "old", ex=60)
        tracking = link_of(redis).tracking
        heard = heard_by(tracking)
        assert await tracking.read(pack_command(("GET", name)), 5.0) == b"old"
        await (other if writer == "another" else redis).set(name, "new", ex=60)
        await eventually(lambda: [name.encode()] in heard)
        await other.delete(name)


async def test_a_read_inside_a_script_is_tracked(pipelined: PipelinedRedis, name: str) -> None:
    """Keys that a script read are told of like those of a plain GET."""
    tracking = link_of(pipelined).tracking
    heard = heard_by(tracking)
    await tracking.read(pack_command(("EVAL", "return redis.call('GET', KEYS[1])", 1, name)), 5.0)
    await pipelined.set(name, "new", ex=60)
    await eventually(lambda: [name.encode()] in heard)
    await pipelined.delete(name)


async def test_only_what_was_read_to_be_kept_is_tracked(pipelined: PipelinedRedis, name: str) -> None:
    """A plain command on the same connection is not told of."""
    tracking = link_of(pipelined).tracking
    heard = heard_by(tracking)
    await tracking.lane.submit(pack_command(("GET", f"{name}:plain")), 5.0)
    await tracking.read(pack_command(("GET", name)), 5.0)
    await pipelined.set(f"{name}:plain", 1, ex=60)
    await pipelined.set(name, 1, ex=60)
    await eventually(lambda: heard)
    assert heard == [[name.encode()]]


async def test_an_expiry_is_told(own_server: EmbeddedServer) -> None:
    """A key that runs out is out of date as well."""
    async with connect(own_server.url) as redis:  # among the keys of others the server takes its time to find it
        tracking = link_of(redis).tracking
        heard = heard_by(tracking)
        await redis.set("k", 1, px=50)
        await tracking.read(pack_command(("GET", "k")), 5.0)
        await eventually(lambda: [b"k"] in heard)


async def test_flushall_means_everything(own_server: EmbeddedServer) -> None:
    """After FLUSHALL everything may have changed."""
    async with connect(own_server.url) as redis:
        tracking = link_of(redis).tracking
        heard = heard_by(tracking)
        await tracking.read(pack_command(("GET", "k")), 5.0)
        await redis.flushall()
        await eventually(lambda: None in heard)


async def test_a_lost_connection_means_everything(server: EmbeddedServer, name: str) -> None:
    """Whoever lost the connection that tells of changes is told so at once, and reads are tracked again after it."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        tracking = link_of(redis).tracking
        heard = heard_by(tracking)
        await tracking.read(pack_command(("GET", name)), 5.0)
        await proxy.cut_all()
        await eventually(lambda: heard == [None])
        await tracking.read(pack_command(("GET", name)), 5.0)
        await redis.set(name, 1, ex=60)
        await eventually(lambda: [name.encode()] in heard)
        await redis.delete(name)


async def test_a_silent_connection_is_found_out(server: EmbeddedServer, name: str) -> None:
    """A connection that died without a sign is dropped after a check, and everything counts as changed."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        tracking = link_of(redis).tracking
        heard = heard_by(tracking)
        await tracking.read(pack_command(("GET", name)), 5)
        proxy.black_hole()
        tracking.check(0.3)
        await eventually(lambda: heard == [None])
        proxy.heal()


async def test_a_listener_that_left_hears_nothing(pipelined: PipelinedRedis, name: str) -> None:
    """After leave() no invalidation is told any more."""
    tracking = link_of(pipelined).tracking
    gone, stays = heard_by(tracking), heard_by(tracking)
    tracking.leave(gone.append)
    await tracking.read(pack_command(("GET", name)), 5.0)
    await pipelined.set(name, 1, ex=60)
    await eventually(lambda: stays)
    assert gone == []
    await pipelined.delete(name)


async def test_a_read_that_cannot_be_tracked_is_refused(own_server: EmbeddedServer) -> None:
    """Where the server does not tell this client of changes, nobody is given a copy to keep."""
    async with connect(own_server.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "ada", "on", ">secret", "~*", "+@all", "-client|tracking")
    async with connect(own_server.url, username="ada", password="secret") as redis:
        with pytest.raises(TransportError, match="CLIENT TRACKING"):
            await link_of(redis).tracking.read(pack_command(("GET", "k")), 5.0)
