"""Collections: each member once, tags that agree with their items, both directions of a graph."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.collections import SocialGraph, TagIndex, UniqueSet
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import OutcomeUnknownError
from tests.support.faults import Fault, FaultProxy


async def test_a_member_is_new_once(redis: Redis, name: str) -> None:
    """Of many who add the same member at one time, one is told that it was new."""
    seen = UniqueSet(redis, name)
    told = await asyncio.gather(*(seen.add(number % 20) for number in range(100)))
    assert (sum(told), await seen.count()) == (20, 20)
    assert [await seen.contains("7"), await seen.contains("x"), await seen.remove(7, "x"), await seen.contains(7)] == [
        True,
        False,
        1,
        False,
    ]
    drawn = await seen.sample(5)
    assert (len(set(drawn)), len(await seen.sample(1))) == (5, 1)
    assert len(await seen.sample(99)) == 19
    assert [await seen.remove(1, 2, 3), await seen.count()] == [3, 16]


async def test_a_set_lives_as_long_as_it_was_told(redis: Redis, name: str) -> None:
    """The first member sets the expiry, and later ones leave it."""
    seen = UniqueSet(redis, name, ttl=100)
    await seen.add("a")
    await redis.pexpire(f"arp:{{{name}}}:members", 50_000)
    await seen.add("b")
    assert 0 < await redis.pttl(f"arp:{{{name}}}:members") <= 50_000


async def test_things_are_found_by_their_tags(redis: Redis, name: str) -> None:
    """A search takes and, or and not, alone and together, and without any tag finds everything."""
    tags = TagIndex(redis, name)
    items = {"p1": ["red", "big"], "p2": ["red"], "p3": ["blue", "big"], "p4": ["{odd}\n"]}
    for item, words in items.items():
        await tags.add(item, *words)
    searches: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["p1", "p2", "p3", "p4"]),
        ({"all": ["red"]}, ["p1", "p2"]),
        ({"all": ["red", "big"]}, ["p1"]),
        ({"any": ["blue", "{odd}\n"]}, ["p3", "p4"]),
        ({"none": ["big"]}, ["p2", "p4"]),
        ({"all": ["big"], "any": ["red", "blue"], "none": ["blue"]}, ["p1"]),
        ({"all": ["green"]}, []),
    ]
    assert [await tags.find(**search) for search, _ in searches] == [found for _, found in searches]
    assert await tags.tags("p1") == ["big", "red"]


async def test_an_item_that_is_removed_leaves_nothing(redis: Redis, name: str) -> None:
    """Without tags an item is forgotten, and so are sets without items."""
    tags = TagIndex(redis, name)
    await tags.add("p1", "red", "big")
    await tags.add("p2", "red")
    assert [await tags.remove("p1", "big", "green"), await tags.tags("p1")] == [1, ["red"]]
    assert [await tags.remove("p1"), await tags.find()] == [1, ["p2"]]
    assert await tags.remove("p2") == 1
    assert [key async for key in redis.scan_iter(f"arp:{{{name}}}:*")] == []


async def test_tags_are_as_many_as_one_call_can_take(redis: Redis, name: str) -> None:
    """An item with all the tags that it may have is found and removed whole; one more is refused, for nothing."""
    tags = TagIndex(redis, name)
    await tags.add("p1", *range(1000))
    with pytest.raises(ValueError, match="1000 tags"):
        await tags.add("p1", "one more")
    assert (len(await tags.tags("p1")), await tags.find(all=[999], none=["one more"])) == (1000, ["p1"])
    await tags.add("p1", 7)
    assert await tags.remove("p1") == 1000
    assert [key async for key in redis.scan_iter(f"arp:{{{name}}}:*")] == []


@pytest.mark.parametrize("search", [{"all": "red"}, {"any": "red"}, {"none": b"red"}, {"all": range(1001)}])
async def test_a_search_that_makes_no_sense_is_refused(pipelined: Redis, name: str, search: Any) -> None:
    """One text where several tags are meant, and more tags than a call can take, are refused before it is sent."""
    with pytest.raises((ValueError, TypeError)):
        await TagIndex(pipelined, name).find(**search)


async def test_removing_all_while_others_add(redis: Redis, name: str) -> None:
    """Whatever is added and removed at one time, in the end items and tags agree."""
    tags = TagIndex(redis, name)
    adding = (tags.add("p", f"t{number}") for number in range(50))
    await asyncio.gather(*adding, *(tags.remove("p") for _ in range(10)))
    left = await tags.tags("p")
    assert await tags.find() == (["p"] if left else [])
    assert all([await tags.find(all=[tag]) == ["p"] for tag in left])


async def test_what_was_changed_meanwhile_is_removed_too(redis: Redis, name: str) -> None:
    """Tags that another has put in the place of those that were read are removed with the item, and their sets."""
    tags = TagIndex(redis, name)
    await tags.add("p1", "red", "big")
    assert await tags._remove("p1", ["new", "big"], 1) == await tags._remove("p1", ["big"], 1) == -1
    assert await tags.find(all=["red", "big"]) == ["p1"]
    assert await tags.remove("p1") == 2
    assert [key async for key in redis.scan_iter(f"arp:{{{name}}}:*")] == []


async def test_a_graph_has_both_directions(redis: Redis, name: str) -> None:
    """Who follows is among the followers, at once and until they do not any more."""
    graph = SocialGraph(redis, name)
    assert [await graph.follow("a", "b"), await graph.follow("a", "b"), await graph.follow("c", "b")] == [
        True,
        False,
        True,
    ]
    assert (await graph.followers("b")).people == list(await graph.followers("b")) == ["a", "c"]
    assert [await graph.follows("a", "b"), await graph.follows("b", "a"), await graph.follows("a", "a")] == [
        True,
        False,
        False,
    ]
    assert (await graph.following("a")).people == ["b"]
    assert [await graph.unfollow("a", "b"), await graph.unfollow("a", "b")] == [True, False]
    assert ((await graph.followers("b")).count, (await graph.following("a")).count) == (1, 0)
    assert not await graph.follows("a", "b")
    with pytest.raises(ValueError, match="themselves"):
        await graph.follow("a", "a")


async def test_common_and_suggested_people(redis: Redis, name: str) -> None:
    """Two have in common whom both follow; suggested are those whom most of one's own follow, and not oneself."""
    graph = SocialGraph(redis, name)
    for one, other in ("ab", "ac", "bd", "cd", "be", "ba", "ce", "cb", "dx"):
        await graph.follow(one, other)
    assert await graph.mutual("b", "c") == ["d", "e"]
    found = [(each.member, each.common) for each in await graph.suggestions("a")]
    assert found == [("d", 2), ("e", 2)]
    assert [each.member for each in await graph.suggestions("a", 1)] == ["d"]
    assert await graph.suggestions("nobody") == []


async def test_many_followers_are_read_in_parts(redis: Redis, name: str) -> None:
    """A walk by cursor sees everybody."""
    graph = SocialGraph(redis, name)
    await asyncio.gather(*(graph.follow(f"m{number}", "star") for number in range(1500)))
    seen: set[str] = set()
    cursor, parts = 0, 0
    while parts == 0 or cursor:
        part = await graph.followers("star", cursor=cursor, count=100)
        seen.update(part.people)
        cursor, parts = part.cursor, parts + 1
        assert part.count == 1500
    assert (len(seen), parts > 5) == (1500, True)


async def test_a_lost_reply_is_told(server: EmbeddedServer, name: str) -> None:
    """Where to repeat a call would answer otherwise, a lost reply raises."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        seen, graph = UniqueSet(redis, name), SocialGraph(redis, name)
        await seen.add("a")
        for call in (seen.add("b"), graph.follow("a", "b")):
            proxy.add(Fault("cut_after", "EVALSHA"))
            with pytest.raises(OutcomeUnknownError):
                await call
        assert (await seen.count(), (await graph.following("a")).people) == (2, ["b"])


@pytest.mark.parametrize("member", ["", b"x", None, True, "x" * 513, "\ud800", 1.5])
async def test_what_is_no_member_is_refused(pipelined: Redis, name: str, member: Any) -> None:
    """A member, an item or a tag is a text of 1 to 512 characters, or an int."""
    for call in (
        lambda: UniqueSet(pipelined, name).add(member),
        lambda: TagIndex(pipelined, name).add("item", member),
        lambda: TagIndex(pipelined, name).add(member, "tag"),
        lambda: SocialGraph(pipelined, name).follow("a", member),
    ):
        with pytest.raises((ValueError, TypeError)):
            await call()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None, "3", float("nan"), 2**64])
async def test_what_is_no_count_is_refused(pipelined: Redis, name: str, count: Any) -> None:
    """How many are asked for, and from where on, are whole numbers, or nothing is sent."""
    graph = SocialGraph(pipelined, name)
    for call in (
        lambda: UniqueSet(pipelined, name).sample(count),
        lambda: graph.following("a", count=count),
        lambda: graph.followers("a", cursor=count or -1),
        lambda: graph.suggestions("a", count),
    ):
        with pytest.raises((ValueError, TypeError), match="must be"):
            await call()


class Part(int, Enum):
    """A number with a name, by which it prints."""

    FEW = 2


async def test_a_count_of_another_class_is_its_value(redis: Redis, name: str) -> None:
    """How many are asked for is what it is worth, whatever its class prints it as."""
    seen, graph = UniqueSet(redis, name), SocialGraph(redis, name)
    await seen.add("ada", "bob", "cy")
    await graph.follow("ada", "bob")
    await graph.follow("bob", "cy")
    assert len(await seen.sample(Part.FEW)) == 2
    assert (await graph.following("ada", count=Part.FEW)).people == ["bob"]
    assert [found.member for found in await graph.suggestions("ada", Part.FEW)] == ["cy"]


async def test_collections_work_in_a_cluster() -> None:
    """An index and a graph lie whole in one slot."""
    async with embedded_cluster(masters=3, replicas=0) as cluster, connect(cluster.url) as redis:
        tags, graph = TagIndex(redis, "posts"), SocialGraph(redis, "people")
        await tags.add("p1", "red", "big")
        assert await tags.find(all=["red"], any=["big"], none=["blue"]) == ["p1"]
        await graph.follow("a", "b")
        await graph.follow("b", "c")
        assert [each.member for each in await graph.suggestions("a")] == ["c"]
