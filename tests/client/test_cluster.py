"""A cluster's commands go where their slot is, whatever happens to it, and none is sent twice."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import pytest
import pytest_asyncio
from redis import CredentialProvider
from redis.asyncio import RedisCluster
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, RedisClusterException, RedisError, ResponseError, TryAgainError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns._core.keys import slot
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.client.attach import is_cluster, link_of
from aioredis_patterns.client.cluster import ClusterLink
from aioredis_patterns.client.link import Request
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.embedded import EmbeddedCluster, EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import OutcomeUnknownError, PatternError, TransportError
from aioredis_patterns.types import AnyRedis
from tests.support.slots import Migration, another_than, owner_of
from tests.support.waiting import eventually

ADD = Script("tests.client", "add")
ADD_ONCE = Script("tests.client", "add_once", keys=2, repeatable=True)
ECHO = Script("tests.client", "echo_arg")
LEASE = Script("tests.client", "echo_arg", lease=True)

CLIENTS: dict[str, Callable[..., Any]] = {
    "pipelined": lambda cluster, **options: connect(cluster.url, deadline=20, **options),
    "pipelined-decoding": lambda cluster, **options: connect(cluster.url, decode_responses=True, protocol=3, **options),
    "plain": lambda cluster, **options: RedisCluster("127.0.0.1", cluster.masters[0].port, **options),
    "plain-decoding": lambda cluster, **options: RedisCluster(
        "127.0.0.1", cluster.masters[1].port, protocol=3, decode_responses=True, **options
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    """A cluster whose slots any test may move, and whose servers none may stop."""
    async with embedded_cluster() as running:
        yield running


@pytest_asyncio.fixture
async def own_cluster() -> AsyncIterator[EmbeddedCluster]:
    """A cluster of this test alone: to be killed, paused and failed over."""
    async with embedded_cluster() as running:
        yield running


@pytest_asyncio.fixture(params=CLIENTS)
async def redis(request: pytest.FixtureRequest, cluster: EmbeddedCluster) -> AsyncIterator[AnyRedis]:
    """A client of each kind that users build."""
    async with CLIENTS[request.param](cluster) as client:
        yield client


@pytest_asyncio.fixture
async def pipelined(cluster: EmbeddedCluster) -> AsyncIterator[PipelinedRedis]:
    async with connect(cluster.url) as client:
        yield client


class Load:
    """Workers that count without pause, and know what they were told."""

    def __init__(self, calls: list[Callable[[], Awaitable[Any]]]) -> None:
        self.calls = calls
        self.answers: Counter[type] = Counter()
        self.failures: list[str] = []
        self.acknowledged: Counter[int] = Counter()
        self.unknown: Counter[int] = Counter()
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(len(self.calls))]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _work(self, number: int) -> None:
        while not self._stop:
            try:
                await self.calls[number]()
            except OutcomeUnknownError:
                self.unknown[number] += 1
                self.answers[OutcomeUnknownError] += 1
            except (RedisError, PatternError) as error:
                self.failures.append(repr(error))
            else:
                self.acknowledged[number] += 1
                self.answers[int] += 1

    async def some(self, more: int = 300) -> None:
        """Wait until so many further calls have succeeded."""
        goal = self.answers[int] + more
        await eventually(lambda: self.answers[int] >= goal, timeout=20)


def counting(redis: AnyRedis, keys: list[str]) -> Load:
    """A worker for each key, every second one with a raw command where the client shares it, the others by script."""

    def call(number: int, key: str) -> Callable[[], Awaitable[Any]]:
        if number % 2 and isinstance(redis, PipelinedRedis):
            return lambda: redis.incr(key)
        return lambda: ADD(redis, key, 1, 600_000, deadline=20)

    return Load([call(number, key) for number, key in enumerate(keys)])


async def counted(redis: AnyRedis, keys: list[str]) -> list[int]:
    return [int(await ADD(redis, key, 0, 600_000)) for key in keys]


# Finding the node -----------------------------------------------------------------------------------------------------


async def test_scripts_reach_the_node_of_their_key(redis: AnyRedis, cluster: EmbeddedCluster, name: str) -> None:
    """On every kind of client keys of all nodes can be used at once, from the first call on."""
    answers = await asyncio.gather(*(ECHO(redis, f"{name}:{number}", number) for number in range(300)))
    assert answers == [str(number).encode() for number in range(300)]
    assert await LEASE(redis, name, "x") == b"x"
    assert is_cluster(redis)


async def test_a_storm_before_anything_is_known_is_answered_whole(cluster: EmbeddedCluster, name: str) -> None:
    """What is sent before the client knows the cluster goes astray, is not executed there, and counts once."""
    async with connect(cluster.url) as redis:
        keys = [f"{name}:{number}" for number in range(200)]
        await asyncio.gather(*(redis.incr(key) for key in keys * 10))
        assert await counted(redis, keys) == [10] * 200


async def test_each_node_has_one_connection_and_no_more(cluster: EmbeddedCluster, name: str) -> None:
    """Thousands of commands at once share one connection to each node, and the lookups leave none behind."""
    async with connect(cluster.url, client_name=name) as redis:
        await asyncio.gather(*(redis.set(f"{name}:{number}", 1, ex=60) for number in range(3000)))
        await eventually(lambda: at_most_one_each(cluster, name))
    await eventually(lambda: nobody_left(cluster, name))


async def connections(cluster: EmbeddedCluster, name: str) -> list[int]:
    """How many connections each node has of the client with this name."""
    return [(await node.ask("CLIENT", "LIST")).count(f"name={name} ") for node in cluster.nodes]


async def at_most_one_each(cluster: EmbeddedCluster, name: str) -> bool:
    return max(await connections(cluster, name)) <= 1


async def nobody_left(cluster: EmbeddedCluster, name: str) -> bool:
    return not any(await connections(cluster, name))


async def test_the_start_node_may_be_dead(cluster: EmbeddedCluster, name: str) -> None:
    """A client whose first address answers nobody finds the cluster through the second."""
    url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.masters[0].port}"
    for _ in range(5):
        async with connect(url, deadline=2) as redis:
            await redis.set(name, 1, ex=60)


async def test_a_subscription_is_found_past_a_dead_start_node(cluster: EmbeddedCluster, name: str) -> None:
    """Who only listens finds the cluster through the second address too."""
    url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.masters[0].port}"
    async with connect(url, deadline=5) as redis, link_of(redis).subscriptions.listen(name) as bell:
        await cluster.masters[1].ask("PUBLISH", name, "x")
        assert await bell.wait(5)


async def test_nodes_that_the_users_client_knows_are_starts_too(cluster: EmbeddedCluster, name: str) -> None:
    """A client that was told of one host, which has died since, is followed through the nodes it has learnt of."""
    async with RedisCluster("127.0.0.1", cluster.masters[0].port) as redis:
        manager = redis.nodes_manager
        started, manager.startup_nodes = manager.startup_nodes, {"gone": ClusterNode("127.0.0.1", 1)}
        assert await ECHO(redis, name, "x") == b"x"
        manager.startup_nodes = started


async def test_no_cluster_at_all_is_told_within_the_deadline() -> None:
    """When no node can be reached a call fails at its deadline, and says that it was not sent."""
    async with connect("redis+cluster://127.0.0.1:1", deadline=0.3) as redis:
        for call in (redis.get("key"), redis.dbsize()):
            began = time.monotonic()
            with pytest.raises((RedisConnectionError, RedisTimeoutError)):
                await call
            assert time.monotonic() - began < 0.4


# Slots on the move ----------------------------------------------------------------------------------------------------


async def test_a_moved_slot_is_learnt_at_once(redis: AnyRedis, cluster: EmbeddedCluster, name: str) -> None:
    """The call that finds its slot moved succeeds, and the next one goes to the new owner."""
    await ECHO(redis, name, "before")
    target = await another_than(cluster, name)
    await Migration(await owner_of(cluster, name), target, name).run(cluster)
    assert await ECHO(redis, name, "after") == b"after"
    link = link_of(redis)
    assert isinstance(link, ClusterLink)
    assert link.address(name)[1] == target.port


async def test_a_slot_that_moves_under_load_loses_no_count(
    redis: AnyRedis, cluster: EmbeddedCluster, name: str
) -> None:
    """While a slot goes to another node key by key, and back, no call fails and none counts twice or not at all."""
    keys = [f"{{{name}}}:{number}" for number in range(40)]
    async with counting(redis, keys) as load:
        for _ in range(2):
            await load.some()
            await Migration(await owner_of(cluster, name), await another_than(cluster, name), keys[0]).run(cluster)
        await load.some()
    assert (load.failures, set(load.answers)) == ([], {int})
    assert await counted(redis, keys) == [load.acknowledged[number] for number in range(40)]


async def test_what_the_old_owner_has_no_more_is_asked_of_the_new(
    redis: AnyRedis, cluster: EmbeddedCluster, name: str
) -> None:
    """ASK: a key that is not on the source of a migration is written on the target, which still refuses strangers."""
    migration = Migration(await owner_of(cluster, name), await another_than(cluster, name), name)
    await migration.begin()
    assert [await ADD(redis, name, 1, 60_000) for _ in range(3)] == [1, 2, 3]
    assert name in await migration.target.ask("CLUSTER", "GETKEYSINSLOT", slot(name), 100)
    with pytest.raises(ResponseError, match="MOVED"):
        await migration.target.ask("GET", name)
    await migration.move_keys()
    await migration.end(cluster)
    assert await ADD(redis, name, 1, 60_000) == 4


async def test_keys_on_both_sides_are_waited_for(redis: AnyRedis, cluster: EmbeddedCluster, name: str) -> None:
    """TRYAGAIN: a script whose keys are torn apart by a migration runs once when they are together again."""
    count, seen = f"{{{name}}}:count", f"{{{name}}}:seen"
    assert await ADD_ONCE(redis, count, seen, "first", 60_000) == 1
    migration = Migration(await owner_of(cluster, count), await another_than(cluster, count), count)
    await migration.begin()
    await migration.move_key(count)
    with pytest.raises(TryAgainError):
        await ADD_ONCE(redis, count, seen, "second", 60_000, deadline=0.2)
    waiting = asyncio.create_task(ADD_ONCE(redis, count, seen, "third", 60_000))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    await migration.move_keys()
    assert await waiting == 2
    await migration.end(cluster)
    assert await ADD_ONCE(redis, count, seen, "third", 60_000) == 2


async def test_a_blocking_read_follows_its_slot(pipelined: PipelinedRedis, cluster: EmbeddedCluster, name: str) -> None:
    """A read that blocks when its slot moves away blocks on at the new owner, and gets what is pushed there."""
    source, target = await owner_of(cluster, name), await another_than(cluster, name)
    reads = [
        asyncio.create_task(pipelined.blpop(name, timeout=30)),
        asyncio.create_task(link_of(pipelined).blocking.call("BLPOP", name, 30, block=30)),
    ]
    await eventually(lambda: blocked(source, 2))
    await Migration(source, target, name).run(cluster)
    await eventually(lambda: blocked(target, 2))
    await pipelined.rpush(name, "one", "two")
    assert {tuple(await read) for read in reads} == {(name.encode(), b"one"), (name.encode(), b"two")}


async def test_a_blocking_read_asks_the_new_owner(
    pipelined: PipelinedRedis, cluster: EmbeddedCluster, name: str
) -> None:
    """A read of an empty list in a slot that is on its way blocks at the target of the migration."""
    migration = Migration(await owner_of(cluster, name), await another_than(cluster, name), name)
    await migration.begin()
    reads = [
        asyncio.create_task(pipelined.blpop(name, timeout=30)),
        asyncio.create_task(link_of(pipelined).blocking.call("BLPOP", name, 30, block=30)),
    ]
    await eventually(lambda: blocked(migration.target, 2))
    await pipelined.rpush(name, "one", "two")
    assert {tuple(await read) for read in reads} == {(name.encode(), b"one"), (name.encode(), b"two")}
    await migration.move_keys()
    await migration.end(cluster)


async def blocked(node: EmbeddedServer, count: int) -> bool:
    return f"blocked_clients:{count}\r\n" in await node.ask("INFO", "clients")


async def test_a_node_that_forgot_its_scripts_is_reminded(redis: AnyRedis, cluster: EmbeddedCluster, name: str) -> None:
    """SCRIPT FLUSH on one node reaches no caller."""
    keys = [f"{name}:{number}" for number in range(100)]
    await asyncio.gather(*(ADD(redis, key, 1, 60_000) for key in keys))
    await (await owner_of(cluster, keys[0])).ask("SCRIPT", "FLUSH")
    assert await asyncio.gather(*(ADD(redis, key, 1, 60_000) for key in keys)) == [2] * 100


# Nodes that go away ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pipelined", "plain"])
async def test_a_failover_under_load_loses_no_count(kind: str, own_cluster: EmbeddedCluster) -> None:
    """When a replica takes over by CLUSTER FAILOVER, calls succeed or say that they do not know, and add up."""
    keys = [f"n{number}" for number in range(60)]
    async with CLIENTS[kind](own_cluster) as redis:
        async with counting(redis, keys) as load:
            for replica in own_cluster.replicas:
                await load.some()
                await take_over(replica)
            await load.some()
        assert load.failures == []
        await assert_added_up(redis, keys, load)


async def take_over(replica: EmbeddedServer) -> None:
    await replica.ask("CLUSTER", "FAILOVER")
    await eventually(lambda: is_primary(replica), timeout=10)


async def is_primary(node: EmbeddedServer) -> bool:
    return bool((await node.ask("ROLE"))[0] == "master")


async def assert_added_up(redis: AnyRedis, keys: list[str], load: Load) -> None:
    for number, count in enumerate(await counted(redis, keys)):
        assert load.acknowledged[number] <= count <= load.acknowledged[number] + load.unknown[number]


@pytest.mark.parametrize("kind", ["pipelined", "plain"])
async def test_a_killed_primary_is_replaced_under_load(kind: str, own_cluster: EmbeddedCluster) -> None:
    """When a primary dies, later calls wait for its replica within their deadline, and none counts twice."""
    # What the dead primary had acknowledged and not passed on is lost, as Redis says; so only the upper bound holds.
    keys = [f"n{number}" for number in range(60)]
    async with CLIENTS[kind](own_cluster) as redis:
        async with counting(redis, keys) as load:
            await load.some()
            await own_cluster.masters[1].kill()
            await eventually(lambda: is_primary(own_cluster.replicas[1]), timeout=20)
            await load.some(600)
        assert load.failures == []
        assert load.answers[OutcomeUnknownError] <= len(keys)
        for number, count in enumerate(await counted(redis, keys)):
            assert 0 < count <= load.acknowledged[number] + load.unknown[number]


async def test_what_was_not_written_follows_the_failover(own_cluster: EmbeddedCluster) -> None:
    """Calls made after a primary died fail at a short deadline as not sent, and succeed within a long one."""
    victim = own_cluster.masters[0]
    async with connect(own_cluster.url, deadline=20) as redis:
        keys = [key for key in map(str, range(200)) if await owner_of(own_cluster, key) is victim][:20]
        await redis.set(keys[0], "x")
        await victim.kill()
        began = time.monotonic()
        with pytest.raises((RedisConnectionError, RedisTimeoutError)):
            await ADD(redis, keys[1], 1, 60_000, deadline=0.3)
        assert time.monotonic() - began < 0.45
        assert await asyncio.gather(*(redis.incr(f"{{{key}}}:n") for key in keys)) == [1] * len(keys)
        assert time.monotonic() - began < 15


async def test_a_hung_primary_is_left_when_it_is_replaced(own_cluster: EmbeddedCluster) -> None:
    """A primary that hangs keeps its connections; what it was sent is not known, what comes later goes elsewhere."""
    victim = own_cluster.masters[0]
    async with connect(own_cluster.url, deadline=1) as redis:
        key = next(key for key in map(str, range(200)) if slot(key) < 5000)
        await redis.set(key, 1)
        victim.pause()
        with pytest.raises(OutcomeUnknownError):
            await redis.incr(key)
        await eventually(lambda: is_primary(own_cluster.replicas[0]), timeout=20)
        assert await eventually(lambda: answered(redis, key), timeout=10)
        victim.resume()


async def answered(redis: PipelinedRedis, key: str) -> bool:
    try:
        return await redis.get(key) is not None
    except (RedisConnectionError, RedisTimeoutError):
        return False


async def test_what_goes_to_all_waits_for_room_on_each(own_cluster: EmbeddedCluster) -> None:
    """A command for every primary stands back where a node has too much to do, and ends at its deadline."""
    victim = own_cluster.masters[0]
    async with connect(own_cluster.url, deadline=1) as redis:
        assert await redis.dbsize() == 0
        key = next(key for key in map(str, range(200)) if slot(key) < 5000)
        lane = link_of(redis).lane(key)
        victim.pause()
        try:
            backlog = [lane.submit(pack_command(("SET", key, bytes(1_000_000))), 20.0) for _ in range(60)]
            await eventually(lambda: lane.full)
            began = time.monotonic()
            counting_all = asyncio.create_task(redis.dbsize())
            await eventually(lambda: lane.statistics().outside == 1)
            with pytest.raises(RedisTimeoutError):
                await counting_all
            assert time.monotonic() - began < 1.5
        finally:
            victim.resume()
        await asyncio.wait(backlog)
        assert await redis.dbsize() == 1


# The client -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLIENTS)
async def test_closing_the_client_closes_every_connection(kind: str, cluster: EmbeddedCluster, name: str) -> None:
    """After aclose() no node knows the client any more, and a later call opens new connections."""
    redis = CLIENTS[kind](cluster, client_name=name)
    for _ in range(2):
        await asyncio.gather(*(ECHO(redis, str(number), "x") for number in range(50)), LEASE(redis, "key", "x"))
        assert not await nobody_left(cluster, name)
        await redis.aclose()
        await eventually(lambda: nobody_left(cluster, name))


async def test_redis_pys_own_refresh_disturbs_nobody(cluster: EmbeddedCluster, name: str) -> None:
    """redis-py's cluster client closes itself to look at the topology anew; scripts under way do not notice."""
    async with CLIENTS["plain"](cluster, client_name=name) as redis:
        keys = [f"{name}:{number}" for number in range(20)]
        async with counting(redis, keys) as load:
            for _ in range(20):
                await load.some(20)
                await redis.aclose()
        assert (load.failures, set(load.answers)) == ([], {int})
        assert await counted(redis, keys) == [load.acknowledged[number] for number in range(20)]
        await redis.set(name, 1, ex=60)
    await eventually(lambda: nobody_left(cluster, name))


async def test_closing_stops_connecting_for_nobody(own_cluster: EmbeddedCluster) -> None:
    """When the client is closed, no task goes on knocking at a dead node for a call that was given up."""
    victim = own_cluster.masters[1]
    async with CLIENTS["plain"](own_cluster) as redis:
        of_start = next(key for key in map(str, range(500)) if slot(key) < 5000)
        of_victim = next(key for key in map(str, range(500)) if 6000 < slot(key) < 10_000)
        await ECHO(redis, of_start, "x")
        await victim.kill()
        call = asyncio.create_task(ECHO(redis, of_victim, "x"))
        await eventually(connecting)
        call.cancel()
        await asyncio.wait([call])
        await redis.aclose()
        assert not connecting()


@pytest.mark.parametrize("steps", range(3))
async def test_a_client_closed_at_any_step_finds_the_slots_again(cluster: EmbeddedCluster, steps: int) -> None:
    """Closing ends the search for who owns which slot, also where that has not begun; a later call begins another."""
    async with connect(cluster.url) as redis:
        await redis.ping()
        link = link_of(redis)
        assert isinstance(link, ClusterLink)
        await eventually(lambda: link._following is None or link._following.done())
        link.follow()
        for _ in range(steps):
            await asyncio.sleep(0)
        await redis.aclose()
        link.follow()
        await eventually(lambda: not link._outdated)


async def test_a_call_that_is_redirected_as_its_client_is_closed_is_told_so(cluster: EmbeddedCluster) -> None:
    """Where a key has gone is nothing for the caller: the client was closed before the call was sent there."""
    async with connect(cluster.url) as redis:
        await redis.ping()
        link = link_of(redis)
        request = Request("GET", pack_command(("GET", "key")), link.loop.time() + 5, "key", repeatable=True)
        error = MovedError(f"{slot('key')} {cluster.masters[0].host}:{cluster.masters[0].port}")
        redirected = asyncio.create_task(link.recover(error, link.lane("key"), request))
        await asyncio.sleep(0)
        await redis.aclose()
        with pytest.raises(RedisTimeoutError, match="closed"):
            await redirected


@pytest.mark.parametrize("steps", range(3))
async def test_a_search_for_the_slots_that_somebody_cancels_is_made_again(cluster: EmbeddedCluster, steps: int) -> None:
    """Whoever has cancelled every task of the event loop, the next call that needs it looks for the slots' owners."""
    async with connect(cluster.url) as redis:
        await redis.ping()
        link = link_of(redis)
        assert isinstance(link, ClusterLink)
        link.follow()
        for _ in range(steps):
            await asyncio.sleep(0)
        assert link._following is not None
        link._following.cancel()
        await asyncio.wait([link._following])
        link.follow()
        await eventually(lambda: not link._outdated)


def connecting() -> bool:
    return any(task.get_name() == "redis lane connecting" for task in asyncio.all_tasks())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_a_forgotten_client_takes_its_connections_with_it(cluster: EmbeddedCluster, name: str) -> None:
    """A client that nobody holds is collected, and its connections are closed."""
    redis = connect(cluster.url, client_name=name)
    await redis.set(name, 1, ex=60)
    lane = weakref.ref(link_of(redis).lane(name))
    del redis
    await eventually(lambda: gc.collect() >= 0 and lane() is None, timeout=30)
    await eventually(lambda: nobody_left(cluster, name))


def test_a_second_event_loop_gets_connections_of_its_own(cluster: EmbeddedCluster) -> None:
    """A client used under one asyncio.run after another works in each."""
    redis = connect(cluster.url)

    async def use(text: str) -> Any:
        answers = await asyncio.gather(*(redis.echo(f"{text}{number}") for number in range(100)))
        await redis.aclose()
        return answers

    for text in ("one", "two"):
        assert asyncio.run(use(text)) == [f"{text}{number}".encode() for number in range(100)]


async def test_several_lanes_share_the_slots_of_a_node(cluster: EmbeddedCluster, name: str) -> None:
    """With lanes=2 there are two connections to each node, and the commands of one key stay in order."""
    async with connect(cluster.url, lanes=2) as redis:
        keys = [f"{name}:{number}" for number in range(40)]
        await redis.get(name)  # its answer comes after the topology, so that no redirect changes the order
        await asyncio.gather(*(redis.append(key, f"{number},") for number in range(50) for key in keys))
        expected = "".join(f"{number}," for number in range(50)).encode()
        assert [await redis.get(key) for key in keys] == [expected] * 40
        assert len({link_of(redis).lane(key) for key in keys}) > 3
        await redis.delete(keys[0])


async def test_commands_without_a_key_reach_every_primary(own_cluster: EmbeddedCluster) -> None:
    """DBSIZE, KEYS, SCRIPT LOAD, SCRIPT EXISTS and FLUSHALL mean the cluster, not one node of it."""
    async with connect(own_cluster.url, decode_responses=True) as redis:
        await asyncio.gather(*(redis.set(f"n{number}", number) for number in range(100)))
        assert await redis.dbsize() == 100
        assert sorted(await redis.keys("n*")) == sorted(f"n{number}" for number in range(100))
        sha = await redis.script_load("return 42")
        assert await asyncio.gather(*(redis.evalsha(sha, 1, f"n{number}") for number in range(50))) == [42] * 50
        await own_cluster.masters[2].ask("SCRIPT", "FLUSH")
        assert await redis.script_exists(sha, "0" * 40) == [False, False]
        assert await redis.flushall() is True
        assert [await master.ask("DBSIZE") for master in own_cluster.masters] == [0, 0, 0]
        assert (await redis.info("cluster"))["cluster_enabled"] == 1
        assert await redis.ping() is True


async def test_keys_of_several_slots_are_refused_by_the_server(pipelined: PipelinedRedis) -> None:
    """A command whose keys are in different slots raises what the server says, and keys of one slot are fine."""
    with pytest.raises(ResponseError, match="same slot"):
        await pipelined.mget("a", "b")
    assert await pipelined.mget("{a}1", "{a}2") == [None, None]
    assert await pipelined.zinter(["{a}1", "{a}2"]) == []


async def test_what_means_one_node_says_where_to_go(pipelined: PipelinedRedis) -> None:
    """SCAN and its like name redis-py's own cluster client, which can do them."""
    for call in (pipelined.scan(), pipelined.wait(1, 1), pipelined.execute_command("FT.SEARCH", "index", "*")):
        with pytest.raises(TransportError, match="cluster_client"):
            await call
    for method in (pipelined.monitor, pipelined.client):
        with pytest.raises(TransportError, match="cluster_client"):
            method()
    assert [key async for key in pipelined.cluster_client.scan_iter(match="nothing*")] == []


async def test_a_command_may_be_spelled_as_its_user_likes(pipelined: PipelinedRedis, name: str) -> None:
    """Small letters and bytes reach the node of their key as well."""
    assert await pipelined.execute_command("set", name, 1, "EX", 60)
    assert await pipelined.execute_command(b"GET", name) == b"1"


async def test_a_client_of_one_node_is_told_where_else_to_go(cluster: EmbeddedCluster, name: str) -> None:
    """MOVED is an error where the user's client is none of a cluster, and it comes at once."""
    other = await another_than(cluster, name)
    async with connect(other.url, deadline=20) as redis, asyncio.timeout(2):
        with pytest.raises(ResponseError, match=r"^(MOVED )?\d+ \S+:\d+$"):  # a MovedError of redis-py since 6
            await redis.get(name)


async def test_a_blocking_read_knows_its_limits(pipelined: PipelinedRedis) -> None:
    """A command without a key blocks nowhere, and a read from no cluster at all ends at the deadline."""
    with pytest.raises(TransportError, match="does not block on a key"):
        await link_of(pipelined).blocking.call("PING", block=1)
    async with connect("redis+cluster://127.0.0.1:1", deadline=0.3) as nowhere, asyncio.timeout(1):
        with pytest.raises(RedisConnectionError):
            await link_of(nowhere).blocking.call("BLPOP", "key", 1, block=1)


class _Unlucky(CredentialProvider):
    def get_credentials(self) -> tuple[str, str]:
        raise LookupError("no token today")


async def test_a_handshake_that_fails_in_the_users_code_is_told_to_the_caller_alone(cluster: EmbeddedCluster) -> None:
    """The search for the topology meets the same failure, and ends without a word."""
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    async with connect(cluster.url, credential_provider=_Unlucky()) as redis:
        with pytest.raises(LookupError, match="no token today"):
            await redis.get("key")
        await asyncio.sleep(0)  # the search has begun
    gc.collect()
    assert unhandled == []


async def test_pipelines_and_subscribers_are_redis_pys_own(pipelined: PipelinedRedis, name: str) -> None:
    """pipeline() and pubsub() work across the nodes."""
    async with pipelined.pipeline() as pipeline:
        for number in range(20):
            pipeline.set(f"{name}:{number}", number, ex=60)
        assert await pipeline.execute() == [True] * 20
    async with pipelined.pubsub() as subscriber:
        await subscriber.subscribe(name)
        await eventually(lambda: told(subscriber, "subscribe"))
        await pipelined.publish(name, "hello")
        await eventually(lambda: told(subscriber, "message"))


@pytest.mark.parametrize("verb", [verb for verb in ("subscribe", "ssubscribe") if hasattr(PubSub, verb)])
async def test_a_subscriber_may_be_the_first(cluster: EmbeddedCluster, name: str, verb: str) -> None:
    """A subscription works on a client that has sent nothing yet."""
    async with connect(cluster.url) as redis, redis.pubsub() as subscriber:
        await getattr(subscriber, verb)(name)
        assert subscriber.subscribed


async def test_a_subscriber_asks_for_the_nodes_no_longer_than_the_deadline(own_cluster: EmbeddedCluster) -> None:
    """Where no node answers, a subscription ends in time and says so."""
    for node in own_cluster.nodes:
        node.pause()
    async with connect(own_cluster.url, deadline=0.3) as redis, asyncio.timeout(3):
        if hasattr(RedisCluster, "pubsub"):  # before redis-py 8 it is a subscriber of one node, which asks for none
            with pytest.raises(RedisTimeoutError, match=r"no node .* within 0.3 s"):
                await redis.pubsub().subscribe("channel")


async def test_a_pipeline_keeps_the_deadline(own_cluster: EmbeddedCluster) -> None:
    """A pipeline that a node does not answer ends at the deadline with an unknown outcome; the next one works."""
    keys = [str(number) for number in range(20)]
    async with connect(own_cluster.url, deadline=0.5) as redis:
        assert await redis.pipeline().execute() == []
        await set_all(redis, keys)
        own_cluster.masters[0].pause()
        began = time.monotonic()
        with pytest.raises(OutcomeUnknownError, match=r"no reply within 0.5 s"):
            await set_all(redis, keys)
        assert time.monotonic() - began < 1
        own_cluster.masters[0].resume()
        assert await set_all(redis, keys) == [True] * 20


async def set_all(redis: PipelinedRedis, keys: list[str]) -> list[Any]:
    pipeline = redis.pipeline()
    for key in keys:
        pipeline.set(key, "x")
    return await pipeline.execute()


@pytest.mark.parametrize("silent", [True, False])
async def test_a_pipeline_to_no_cluster_ends_within_the_deadline(own_server: EmbeddedServer, silent: bool) -> None:
    """Where no node answers, or the one that does is none of a cluster, a pipeline says so and was not executed."""
    async with connect(f"redis+cluster://127.0.0.1:{own_server.port}", deadline=0.5) as redis:
        if silent:
            own_server.pause()
        began = time.monotonic()
        with pytest.raises(RedisTimeoutError if silent else RedisClusterException):
            await set_all(redis, ["key"])
        assert time.monotonic() - began < 1
        own_server.resume()


async def told(subscriber: Any, kind: str) -> bool:
    message = await subscriber.get_message(timeout=0.1)
    return message is not None and message["type"] == kind


async def test_waiters_are_woken_from_any_node(redis: AnyRedis, cluster: EmbeddedCluster, name: str) -> None:
    """What is published on one node rings the bell of a listener on another."""
    async with link_of(redis).subscriptions.listen(name) as bell:
        for master in cluster.masters:
            await master.ask("PUBLISH", name, "x")
            assert await bell.wait(5)


async def test_the_scripts_of_all_nodes_are_told_of(cluster: EmbeddedCluster, name: str) -> None:
    """A hook that is given to a cluster's client hears of each script, whichever node ran it."""
    events: list[Any] = []
    async with connect(cluster.url, on_event=events.append) as redis:
        for number in range(20):
            await ADD(redis, f"{name}{number}", 1, 60_000)
    assert [(event.script, event.outcome) for event in events] == [("add", "ok")] * 20
