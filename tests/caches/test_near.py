"""NearCache: a second read costs nothing, and no copy outlives what it was made of."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, NearCache, WriteThrough
from aioredis_patterns.caches.copies import Copies, Copy
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.connect import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.events import CacheRequested
from tests.support.faults import FaultProxy
from tests.support.waiting import eventually, lag_of_the_loop

MISSING = object()
RACES = 20_000
RACED_KEYS = 200


class Watched:
    """A cache with copies, and how each of its requests ended."""

    def __init__(self, redis: Redis, name: str, **options: Any) -> None:
        self.outcomes: list[str] = []
        near = options.pop("near", NearCache())
        self.cache: Cache[Any] = Cache(redis, name, near=near, on_event=self._note, **{"ttl": 60} | options)

    def _note(self, event: object) -> None:
        if isinstance(event, CacheRequested):
            self.outcomes.append(event.outcome)

    @property
    def copies(self) -> int:
        """How many it holds."""
        near = self.cache._near
        return len(near._copies.by_key) if near is not None and near._copies is not None else 0


async def test_a_second_read_is_near(redis: Redis, name: str) -> None:
    """What was read once comes from the process the next time, by whichever call."""
    watched = Watched(redis, name)
    await watched.cache.set("key", "value")
    assert await watched.cache.get("key") == "value"
    assert await watched.cache.get("key") == "value"
    assert await watched.cache.get_or_load("key", _must_not_run) == "value"
    assert await watched.cache.get_or_load_many(["key"], _must_not_run_for_many) == {"key": "value"}
    assert watched.outcomes == ["hit", "near_hit", "near_hit", "near_hit"]


async def test_many_are_near_too(redis: Redis, name: str) -> None:
    """A batch that was read once comes from the process, and what it lacks is loaded in one call."""
    watched = Watched(redis, name)
    calls: list[list[int]] = []

    def load(keys: list[int]) -> dict[int, int]:
        calls.append(keys)
        return {key: key * 10 for key in keys}

    async def all_near() -> bool:  # once the server has told of what was stored here
        assert await watched.cache.get_or_load_many([1, 2, 3], load) == {1: 10, 2: 20, 3: 30}
        return watched.outcomes[-3:] == ["near_hit"] * 3

    await eventually(all_near)
    assert calls == [[1, 2, 3]]


@pytest.mark.parametrize("change", ["set", "delete", "expire", "clear", "invalidate", "write_through"])
@pytest.mark.parametrize("writer", ["own", "another"])
async def test_a_change_drops_the_copy(redis: Redis, other: Redis, name: str, change: str, writer: str) -> None:
    """A change by another client drops the copy soon, one by this client before the call returns."""
    watched = Watched(redis, name)
    await watched.cache.set("key", "old", tags=["team"])
    assert [await watched.cache.get("key") for _ in range(2)] == ["old", "old"]
    cache = watched.cache if writer == "own" else Cache(other, name, ttl=60)
    match change:
        case "set":
            await cache.set("key", "new")
        case "clear":
            await cache.clear()
        case "invalidate":
            await cache.invalidate("team")
        case "write_through":
            await WriteThrough(cache, _write_nowhere).set("key", "new")
        case _:
            await getattr(cache, change)("key")
    if writer == "another":
        await eventually(lambda: watched.copies == 0)
    assert await watched.cache.get("key") == ("new" if change in ("set", "write_through") else None)


async def test_a_write_through_serves_no_copy_meanwhile(redis: Redis, name: str) -> None:
    """While this process writes the store its own copy is gone."""
    watched = Watched(redis, name)
    await watched.cache.set("key", "old")
    await watched.cache.get("key")
    seen: list[Any] = []

    async def write(key: object, value: object) -> None:
        seen.append(await watched.cache.get("key", MISSING))

    await WriteThrough(watched.cache, write).set("key", "new")
    assert seen == [MISSING]


async def test_a_copy_ends_with_its_value(redis: Redis, name: str) -> None:
    """A copy is not given any more when the value's ttl has ended, even if the server says nothing of it."""
    watched = Watched(redis, name, ttl=1)
    await watched.cache.set("key", "value")
    assert await watched.cache.get("key") == "value"
    link_of(redis).tracking._listeners.clear()  # as if the way from the server were slow
    assert await watched.cache.get("key", MISSING) == "value"
    await eventually(lambda: _is_gone(watched.cache))


async def test_a_copy_ends_with_its_age(redis: Redis, name: str) -> None:
    """A copy is read anew after max_age, however long the value lives."""
    watched = Watched(redis, name, near=NearCache(max_age=0.4))
    await watched.cache.set("key", "value")

    async def read_anew() -> bool:
        assert await watched.cache.get("key") == "value"
        return watched.outcomes.count("hit") >= 3 and "near_hit" in watched.outcomes

    await eventually(read_anew)


async def test_a_stale_value_is_not_copied(redis: Redis, name: str) -> None:
    """What is past its ttl and kept for emergencies is asked for each time."""
    watched = Watched(redis, name, stale_ttl=600)
    await watched.cache.set("key", "value")
    await watched.cache.expire("key")
    for _ in range(2):
        assert await watched.cache.get("key", MISSING) is MISSING
    assert watched.copies == 0


async def test_values_cannot_be_changed_in_the_cache(redis: Redis, name: str) -> None:
    """Whoever changes a value that he was given changes nobody else's; what cannot be changed is shared."""
    watched = Watched(redis, name)
    await watched.cache.set("list", [1])
    await watched.cache.set("text", "x" * 100)
    for key in ("list", "text"):
        await watched.cache.get(key)
    (await watched.cache.get("list")).append(2)
    assert await watched.cache.get("list") == [1]
    assert await watched.cache.get("text") is await watched.cache.get("text")


async def test_keys_of_two_types(redis: Redis, name: str) -> None:
    """An int and its digits are one key, dropped together; True is no key, near or far."""
    watched = Watched(redis, name)
    await watched.cache.set(1, "old")
    assert [await watched.cache.get(key) for key in (1, "1", 1, "1")] == ["old"] * 4
    assert watched.copies == 2
    with pytest.raises(TypeError):
        await watched.cache.get(True)
    await watched.cache.set("1", "new")
    assert [await watched.cache.get(key) for key in (1, "1")] == ["new"] * 2


async def test_odd_keys(redis: Redis, other: Redis, name: str) -> None:
    """A key with braces, percent signs or control characters is dropped like any other."""
    watched = Watched(redis, name)
    keys = ["a{b}c", "%7B", "\r\n\0", "}:value:x", "ü", "-5", "٣"]
    for key in keys:
        await watched.cache.set(key, "old")
        assert await watched.cache.get(key) == "old"
    for key in keys:
        await Cache(other, name, ttl=60).set(key, "new")
    await eventually(lambda: watched.copies == 0)
    assert [await watched.cache.get(key) for key in keys] == ["new"] * len(keys)


async def test_two_caches_on_one_client(redis: Redis, name: str) -> None:
    """Caches of other names keep their copies when one is changed."""
    one, two = Watched(redis, name), Watched(redis, f"{name}:two")
    for watched in (one, two):
        await watched.cache.set("key", "value")
        await watched.cache.get("key")
    await one.cache.clear()
    assert (one.copies, two.copies) == (0, 1)


async def test_copies_are_bounded_by_their_number(redis: Redis, name: str) -> None:
    """No more than max_entries are kept, and what was used stays longer than what was not."""
    watched = Watched(redis, name, near=NearCache(max_entries=10))
    for number in range(30):
        await watched.cache.set(number, number)
        await watched.cache.get(number)
        await watched.cache.get(0)
    assert watched.copies == 10
    assert watched.outcomes.count("near_hit") >= 29


async def test_copies_are_bounded_by_their_bytes(redis: Redis, name: str) -> None:
    """No more than max_bytes are kept; a value that is larger than that is not kept, and drives no other out."""
    watched = Watched(redis, name, near=NearCache(max_bytes=10_000))
    for number in range(30):
        await watched.cache.set(number, b"x" * 1_000)
        await watched.cache.get(number)
    copies = watched.copies
    assert 3 <= copies <= 9
    await watched.cache.set("big", b"x" * 20_000)
    assert len(await watched.cache.get("big")) == 20_000
    assert watched.copies == copies


async def test_a_lost_connection_drops_all(redis: Redis, other: Redis, name: str) -> None:
    """When the connection that tells of changes is cut, no copy is given any more."""
    watched = Watched(redis, name)
    await watched.cache.set("key", "old")
    await watched.cache.get("key")
    identity = link_of(redis).tracking.lane.identity
    assert identity is not None
    await other.execute_command("CLIENT", "KILL", "ID", identity[0])
    await eventually(lambda: watched.copies == 0)
    await Cache(other, name, ttl=60).set("key", "new")
    assert await watched.cache.get("key") == "new"


async def test_flushall_drops_all(own_server: EmbeddedServer, name: str) -> None:
    """When the server is emptied the copies are too."""
    async with connect(own_server.url) as redis:
        watched = Watched(redis, name)
        await watched.cache.set("key", "value")
        await watched.cache.get("key")
        await redis.flushall()
        await eventually(lambda: watched.copies == 0)


async def test_a_silent_connection_drops_all(server: EmbeddedServer, name: str) -> None:
    """Where the network swallows everything, no copy is given for longer than twice the time of a check."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        watched = Watched(redis, name, near=NearCache(check=0.2))
        await watched.cache.set("key", "value")
        await watched.cache.get("key")
        async with lag_of_the_loop() as lag:
            start = time.perf_counter()
            proxy.black_hole()
            await eventually(lambda: watched.copies == 0)
            took = time.perf_counter() - start
        assert took < 2 * 0.2 + 0.4 + 4 * lag.worst


async def test_a_script_that_was_forgotten(redis: Redis, name: str) -> None:
    """After SCRIPT FLUSH values are read and copied as before."""
    watched = Watched(redis, name)
    await watched.cache.set("key", "value")
    await redis.script_flush()
    assert [await watched.cache.get("key") for _ in range(2)] == ["value"] * 2
    assert watched.outcomes == ["hit", "near_hit"]


async def test_what_is_told_before_the_reply_wins(redis: Redis, name: str) -> None:
    """A change that is told of while a value is being read keeps that value from being kept."""
    copies = Copies(link_of(redis), Cache(redis, name, ttl=60)._shards, most_entries=10, most_bytes=10_000, check=1)
    for told in ([f"arp:{{{name}|0}}:value:key".encode()], [f"arp:{{{name}|0}}:marks".encode()], None):
        placeholder = copies.put_placeholder("key")
        copies.told(told)
        assert copies.take_placeholder("key", placeholder) is False
    placeholder = copies.put_placeholder("key")
    copies.told([b"arp:{another|0}:value:key", f"arp:{{{name}|0}}:value:key2".encode()])
    assert copies.take_placeholder("key", placeholder) is True


async def test_a_forgotten_cache_is_told_nothing(redis: Redis, name: str) -> None:
    """A cache that nobody holds any more leaves no listener behind."""
    listeners = link_of(redis).tracking._listeners
    watched: Watched | None = Watched(redis, name)
    assert watched is not None
    await watched.cache.set("key", "value")
    await watched.cache.get("key")
    assert len(listeners) == 1
    watched = None
    gc.collect()
    assert len(listeners) == 0


async def test_races_of_writes_and_reads(pipelined: Redis, other: Redis, name: str) -> None:
    """After 20,000 writes that crossed reads no copy is out of date."""
    cache, elsewhere = Cache(pipelined, name, ttl=60, near=NearCache()), Cache(other, name, ttl=60)
    for start in range(0, RACES, RACED_KEYS):
        await asyncio.gather(*(race(cache, elsewhere, key, start + key) for key in range(RACED_KEYS)))

    async def agrees() -> bool:
        return [await cache.get(key) for key in range(RACED_KEYS)] == list(range(start, start + RACED_KEYS))

    await eventually(agrees, timeout=1)


async def race(cache: Cache[int], elsewhere: Cache[int], key: int, value: int) -> None:
    """Read and write a key at one time."""
    await asyncio.gather(cache.get(key), elsewhere.set(key, value), cache.get(key))


@pytest.mark.parametrize("wrong", [{"max_entries": 0}, {"max_bytes": 0}, {"max_age": 0}, {"check": float("nan")}])
def test_bounds_are_checked(wrong: dict[str, float]) -> None:
    """A near cache without room or time is refused."""
    with pytest.raises(ValueError, match="must"):
        NearCache(**wrong)  # type: ignore[arg-type]


def test_a_copy_shares_what_cannot_change() -> None:
    """Tuples of immutable values are shared, tuples that hold a list are not."""
    assert Copy("key", b"", (1, ("a", None)), 0.0).value == (1, ("a", None))
    assert Copy("key", b"", (1, []), 0.0).value != (1, [])


async def _is_gone(cache: Cache[Any]) -> bool:
    return await cache.get("key", MISSING) is MISSING


async def _write_nowhere(key: object, value: object) -> None: ...


async def _must_not_run() -> None:
    raise AssertionError("it is there")


async def _must_not_run_for_many(keys: list[str]) -> dict[str, str]:
    raise AssertionError("they are there")
