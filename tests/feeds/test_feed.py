"""Feeds: pages hold still while more arrives, what is followed is there, what is not any more is gone."""

from __future__ import annotations

import asyncio
import random
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as NoReplyError

from aioredis_patterns.client import connect
from aioredis_patterns.codecs import codec_for
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import CodecError
from aioredis_patterns.feeds import Feed, FeedPage
from tests.support.faults import Command, Fault, FaultProxy
from tests.support.waiting import eventually

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


async def pages(feed: Feed[Any], count: int) -> list[FeedPage[Any]]:
    """Every page from the top to the end."""
    found = [await feed.page(count=count)]
    while found[-1].cursor is not None:
        found.append(await feed.page(found[-1].cursor, count))
    return found


async def everything(feed: Feed[Any], count: int = 1000) -> list[Any]:
    return [item for page in await pages(feed, count) for item in page.items]


async def keys_of(redis: Redis, name: str, part: str) -> list[Any]:
    return [key async for key in redis.scan_iter(f"arp:{{{name}*}}:{part}")]


# Posting and reading -------------------------------------------------------------------------------------------------


async def test_the_newest_comes_first(redis: Redis, name: str) -> None:
    """What was posted is there, page by page, the newest first, and nothing is said to be missing."""
    feed = Feed(redis, name)
    assert await feed.page() == FeedPage([], None, truncated=False)
    for number in range(7):
        await feed.post({"n": number})
    found = await pages(feed, 3)
    assert [[item["n"] for item in page.items] for page in found] == [[6, 5, 4], [3, 2, 1], [0]]
    assert not any(page.truncated for page in found)


async def test_a_cursor_holds_still(redis: Redis, name: str) -> None:
    """However much arrives between two pages, the second begins where the first ended."""
    feed = Feed(redis, name)
    for number in range(6):
        await feed.post(number)
    first = await feed.page(count=3)
    for number in range(6, 20):
        await feed.post(number)
    assert (first.items, (await feed.page(first.cursor, 3)).items) == ([5, 4, 3], [2, 1, 0])


async def test_a_cursor_outlives_its_item(redis: Redis, name: str) -> None:
    """When the item that a page has ended with is gone, the next page begins with the one behind it all the same."""
    bob, ada = Feed(redis, name), Feed(redis, f"{name}:ada")
    await bob.follow(ada)
    for number in range(3):
        await bob.post(number, NOON - timedelta(minutes=number))
    await ada.post("ada's", NOON, item_id="~")
    first = await bob.page(count=1)
    assert first.items == ["ada's"]
    await bob.unfollow(ada)
    assert (await bob.page(first.cursor)).items == [0, 1, 2]
    await ada.post("newest", NOON + timedelta(minutes=1))
    await bob.follow(ada)
    first = await bob.page(count=1)
    await bob.unfollow(ada)
    assert (await bob.page(first.cursor)).items == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 3, 50])
async def test_items_of_one_moment_stay_apart(redis: Redis, name: str, count: int) -> None:
    """Items of the same time stand in the order in which they were posted, and each is on one page."""
    feed, other = Feed(redis, name), Feed(redis, f"{name}:é-B")
    await feed.follow(other)
    for number in range(9):
        await feed.post(number, NOON)
        await other.post(number + 100, NOON, item_id=f"{number}")
    shown = await everything(feed, count)
    assert sorted(shown) == sorted([*range(9), *range(100, 109)])
    assert [number for number in shown if number < 100] == [8, 7, 6, 5, 4, 3, 2, 1, 0]


async def test_an_item_has_the_servers_time(redis: Redis, name: str) -> None:
    """An item of no time stands where the server's clock is, to the microsecond."""
    times = [await redis.time()]
    await Feed(redis, name).post("now")
    times.append(await redis.time())
    before, after = (seconds * 1_000_000 + microseconds for seconds, microseconds in times)
    ((_, place),) = await redis.zrange(f"arp:{{{name}}}:posts", 0, -1, withscores=True)
    assert before <= int(place) <= after


async def test_an_event_of_another_time_stands_there(redis: Redis, name: str) -> None:
    """The place of an item is its time, whenever it is posted."""
    feed = Feed(redis, name)
    for day in (2, 0, 1):
        await feed.post(day, NOON + timedelta(day))
    await feed.post("now")
    assert await everything(feed) == ["now", 2, 1, 0]


async def test_an_item_is_posted_once(redis: Redis, name: str) -> None:
    """An id that the feed has is not posted again; the first item stays."""
    feed = Feed(redis, name)
    assert [await feed.post("a", item_id="x"), await feed.post("b", item_id="x")] == ["x", "x"]
    assert await feed.post("a") != await feed.post("a")
    assert await everything(feed) == ["a", "a", "a"]


async def test_a_lost_reply_posts_once(server: EmbeddedServer, name: str) -> None:
    """A post whose reply is lost is repeated, and the item is there once."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        feed = Feed(redis, name)
        await feed.post(1)
        proxy.add(Fault("cut_after", "EVALSHA"))
        await feed.post(2)
        assert await everything(feed) == [2, 1]


# What had to make room -----------------------------------------------------------------------------------------------


async def test_what_made_room_is_told_of(redis: Redis, name: str) -> None:
    """The last page, and one asked for from a place that is gone, say that items had to make room."""
    feed = Feed(redis, name, maxlen=4)
    for number in range(4):
        await feed.post(number)
    first = await feed.page(count=2)
    assert first.truncated is False
    for number in range(4, 7):
        await feed.post(number)
    assert await feed.page(first.cursor) == FeedPage([], None, truncated=True)
    assert [(page.items, page.truncated) for page in await pages(feed, 2)] == [([6, 5], False), ([4, 3], True)]
    assert [await redis.hlen(key) for key in await keys_of(redis, name, "posts:items")] == [4]


async def test_no_more_makes_room_than_has_to(pipelined: Redis, name: str) -> None:
    """With every item that is posted to a full feed one goes, the oldest."""
    feed = Feed(pipelined, name, maxlen=4)
    for number in range(10):
        await feed.post(number)
        assert (await feed.page()).items == list(range(number, max(number - 4, -1), -1))


async def test_a_gap_between_feeds_is_told_of(redis: Redis, name: str) -> None:
    """Where one of the feeds of a page has lost items, older ones of another are not shown as if none were missing."""
    feed, quiet, busy = Feed(redis, name), Feed(redis, f"{name}:quiet"), Feed(redis, f"{name}:busy", maxlen=2)
    await quiet.post("old", NOON)
    for number in range(5):
        await busy.post(number, NOON + timedelta(1 + number))
    await feed.follow(quiet)
    await feed.follow(busy)
    await feed.post("new")
    assert [(page.items, page.truncated) for page in await pages(feed, 2)] == [(["new", 4], False), ([3, "old"], True)]


# Following -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fanout", [0, 1, 1000])
async def test_what_is_followed_is_there(redis: Redis, name: str, fanout: int) -> None:
    """Old and new items of followed feeds stand among one's own, whether they are brought or fetched."""
    ada, *others = (Feed(redis, f"{name}:{who}", fanout=fanout) for who in ("ada", "bob", "cy"))
    await ada.post("a1")
    for reader in others:
        await reader.post(f"own {reader.name[-1]}")
        assert [await reader.follow(ada), await reader.follow(ada.name)] == [True, False]
    await ada.post("a2")
    for reader in others:
        assert await everything(reader, 2) == ["a2", f"own {reader.name[-1]}", "a1"]
    brought = [key for key in await keys_of(redis, name, "inbox") if await redis.zcard(key)]
    assert len(brought) == min(fanout, 2)
    assert await everything(ada) == ["a2", "a1"]


async def test_long_histories_are_brought(pipelined: Redis, name: str) -> None:
    """More items than one call carries are there when `follow` returns, and more followers than one turn tells hear."""
    ada, bob = Feed(pipelined, f"{name}:ada"), Feed(pipelined, f"{name}:bob")
    await asyncio.gather(*(ada.post(number, NOON + timedelta(minutes=number)) for number in range(250)))
    await bob.follow(ada)
    assert await everything(bob, 70) == list(range(250))[::-1]
    assert await pipelined.smembers(f"arp:{{{name}:bob}}:fetched") == set()
    readers = [Feed(pipelined, f"{name}:{number}") for number in range(130)]
    await asyncio.gather(*(reader.follow(ada) for reader in readers))
    await ada.post("news")
    assert {(await reader.page(count=1)).items[0] for reader in readers} == {"news"}


@pytest.mark.parametrize("fanout", [0, 10])
async def test_what_is_not_followed_vanishes(redis: Redis, name: str, fanout: int) -> None:
    """Items of a feed that is not followed any more are gone at once, those of others stay, and no more come."""
    ada, cy, bob = (Feed(redis, f"{name}:{who}", fanout=fanout) for who in ("ada", "ada:cy", "bob"))
    await bob.follow(ada)
    await bob.follow(cy)
    await ada.post("from ada")
    await cy.post("from cy")
    await bob.post("own")
    assert [await bob.unfollow(ada), await bob.unfollow(ada)] == [True, False]
    await ada.post("more")
    assert await everything(bob) == ["own", "from cy"]
    assert await redis.hlen(f"arp:{{{name}:bob}}:inbox:items") == await redis.zcard(f"arp:{{{name}:bob}}:inbox")
    assert not await redis.exists(f"arp:{{{name}:ada}}:followers")
    assert await bob.follow(ada)
    assert await everything(bob) == ["more", "own", "from cy", "from ada"]


async def test_who_follows_no_more_is_told_no_more(pipelined: Redis, name: str) -> None:
    """A follower whose list was not cleared is found out by the next item, but not if it has followed anew."""
    ada, bob = Feed(pipelined, f"{name}:ada"), Feed(pipelined, f"{name}:bob")
    followers = f"arp:{{{name}:ada}}:followers"
    await pipelined.hset(followers, f"{name}:bob", "old")
    await ada.post(1)
    assert await pipelined.hgetall(followers) == {}
    assert await everything(bob) == []
    await pipelined.hset(followers, f"{name}:bob", "anew")
    await ada._tell(f"{name}:bob".encode(), b"old", b"0000000000001x\tx", b"1 0000000000001\n1")
    assert await pipelined.hlen(followers) == 1
    await bob.follow(ada)
    await ada.post(2)
    assert await everything(bob) == [2, 1]


async def test_a_feed_is_followed_though_its_first_try_ended(server: EmbeddedServer, name: str) -> None:
    """A call that broke off leaves a reader who fetches, and the next call has its items brought."""
    fault = Fault("cut_before", lambda command: any(b":followers" in word for word in command[3:4]), times=None)
    async with (
        FaultProxy(server.host, server.port) as proxy,
        connect(proxy.url, deadline=0.1) as broken,
        connect(server.url) as redis,
    ):
        ada, bob = Feed(redis, f"{name}:ada"), Feed(redis, f"{name}:bob")
        await ada.post(1)
        proxy.add(fault)
        with pytest.raises(NoReplyError):
            await Feed(broken, f"{name}:bob").follow(ada.name)
        await ada.post(2)
        assert await everything(bob) == [2, 1]
        assert await redis.scard(f"arp:{{{name}:bob}}:fetched") == 1
        assert await bob.follow(ada) is False
        await ada.post(3)
        assert await everything(bob) == [3, 2, 1]
        assert await redis.scard(f"arp:{{{name}:bob}}:fetched") == 0


@pytest.mark.parametrize("ended", [True, False])
async def test_an_unfollow_that_is_late_ends_no_newer_following(server: EmbeddedServer, name: str, ended: bool) -> None:
    """A call that is executed again after its reply was lost, or as late as that, ends what it was made for only."""
    async with (
        FaultProxy(server.host, server.port) as proxy,
        connect(proxy.url, deadline=10) as late,
        connect(server.url) as redis,
    ):
        ada, bob = Feed(redis, f"{name}:ada"), Feed(redis, f"{name}:bob")
        await ada.post(1)
        await bob.follow(ada)
        following = f"arp:{{{name}:bob}}:following"
        token = await redis.hget(following, ada.name)

        def ends(command: Command) -> bool:
            if token not in command or following.encode() not in command:
                return False
            proxy.refuse()
            return True

        fault = proxy.add(Fault("cut_after" if ended else "cut_before", ends))
        unfollowing = asyncio.create_task(Feed(late, f"{name}:bob").unfollow(ada.name))
        await eventually(lambda: proxy.struck[fault])
        assert await bob.follow(ada) is ended
        proxy.heal()
        assert await unfollowing is True
        await ada.post(2)
        assert await everything(bob) == [2, 1]
        assert await bob.unfollow(ada) is True
        assert await everything(bob) == []


async def test_an_unfollow_whose_reply_was_lost_leaves_nothing(server: EmbeddedServer, name: str) -> None:
    """A call that is repeated says what it has ended, and takes the follower off the other's list."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        ada, bob = Feed(redis, f"{name}:ada"), Feed(redis, f"{name}:bob")
        await bob.follow(ada)
        ends = proxy.add(Fault("cut_after", lambda command: any(b":following" in word for word in command), times=2))
        assert await bob.unfollow(ada) is True
        assert proxy.struck[ends] == 2
        assert await redis.exists(f"arp:{{{name}:ada}}:followers") == 0


async def test_what_is_brought_and_fetched_is_shown_once(pipelined: Redis, name: str) -> None:
    """A call that was overtaken ends nobody's fetching, and what comes both ways meanwhile is on full pages once."""
    ada, bob = Feed(pipelined, f"{name}:ada", fanout=0), Feed(pipelined, f"{name}:bob", fanout=0)
    for number in range(4):
        await ada.post(number)
    await bob.follow(ada)
    await bob._catch_up(ada.name, "overtaken")
    assert await pipelined.zcard(f"arp:{{{name}:bob}}:inbox") == 4
    assert [page.items for page in await pages(bob, 2)] == [[3, 2], [1, 0]]
    await ada.post(4)
    assert await everything(bob) == [4, 3, 2, 1, 0]


async def test_a_place_among_those_who_are_told_is_kept(pipelined: Redis, name: str) -> None:
    """Who is on the list has items brought when it follows again, however full the list is, and others are not."""
    ada, bob, cy = (Feed(pipelined, f"{name}:{who}", fanout=1) for who in ("ada", "bob", "cy"))
    await bob.follow(ada)
    await cy.follow(ada)
    await pipelined.sadd(f"arp:{{{name}:bob}}:fetched", ada.name)
    assert [await bob.follow(ada), await cy.follow(ada)] == [False, False]
    fetched = [await pipelined.scard(f"arp:{{{name}:{who}}}:fetched") for who in ("bob", "cy")]
    assert fetched == [0, 1]


async def test_the_same_id_is_shown_once(redis: Redis, name: str) -> None:
    """An item that two followed feeds posted under one id is on a page once, at the newer place, another one is not."""
    bob, *sources = (Feed(redis, f"{name}:{who}") for who in ("bob", "ada", "cy"))
    for number, source in enumerate(sources):
        await bob.follow(source)
        await source.post(number, item_id="its first")
        await source.post("shared", NOON + timedelta(number), item_id="shared")
    assert (await bob.page()).items == [1, 0, "shared"]
    await bob.unfollow(sources[1])
    assert (await bob.page()).items == [0, "shared"]


async def test_an_item_is_brought_by_posting_it_again(pipelined: Redis, name: str) -> None:
    """A follower that a poster did not reach gets the item when it is posted again, at its own place."""
    ada, bob = Feed(pipelined, f"{name}:ada"), Feed(pipelined, f"{name}:bob")
    await bob.follow(ada)
    await ada.post(1, item_id="x")
    await ada.post(2)
    await pipelined.delete(f"arp:{{{name}:bob}}:inbox", f"arp:{{{name}:bob}}:inbox:items")
    await ada.post("other", item_id="x")
    await ada.post(3)
    assert await everything(bob) == [3, 1]


async def test_a_crowd_agrees(pipelined: Redis, name: str) -> None:
    """While many post, follow and unfollow at one time, each reader ends with all items of those he follows."""
    chance = random.Random(6)
    feeds = [Feed(pipelined, f"{name}:{number}", fanout=2) for number in range(6)]
    wanted: dict[int, set[int]] = {number: {number} for number in range(6)}

    async def follow(reader: int) -> None:
        for _ in range(12):
            other = chance.choice([number for number in range(6) if number != reader])
            if other in wanted[reader]:
                await feeds[reader].unfollow(feeds[other])
                wanted[reader].remove(other)
            else:
                await feeds[reader].follow(feeds[other])
                wanted[reader].add(other)

    async def post(author: int) -> None:
        for number in range(40):
            await feeds[author].post([author, number])

    await asyncio.gather(*(follow(number) for number in range(6)), *(post(number) for number in range(6)))
    for reader, feed in enumerate(feeds):
        expected = sorted([author, number] for author in wanted[reader] for number in range(40))
        assert sorted(await everything(feed, 33)) == expected


# Lives, types, refusals ----------------------------------------------------------------------------------------------


async def test_items_live_as_long_as_they_were_told(redis: Redis, name: str) -> None:
    """With a ttl every key but that of who follows whom expires, and each item renews it."""
    ada, bob = Feed(redis, f"{name}:ada", ttl=60, maxlen=1), Feed(redis, f"{name}:bob", ttl=60, maxlen=1)
    await bob.follow(ada)
    for number in range(3):
        await ada.post(number)
        await bob.post(number)
    lives = {str(key).rpartition(":")[2].strip("'"): await redis.ttl(key) for key in await keys_of(redis, name, "*")}
    lasting = {part for part, life in lives.items() if life == -1}
    assert lasting == {"following", "followers"}
    assert {part for part, life in lives.items() if 0 < life <= 60} == {"posts", "items", "inbox", "state"}


async def test_what_had_to_make_room_is_gone(pipelined: Redis, name: str) -> None:
    """A feed that is to keep fewer items keeps the newest with the next one, and nothing of the others."""
    for number in range(10):
        await Feed(pipelined, name, maxlen=10).post(number)
    small = Feed(pipelined, name, maxlen=3)
    await small.post("new")
    posts = f"arp:{{{name}}}:posts"
    assert (await small.page()).items == ["new", 9, 8]
    assert [await pipelined.zcard(posts), await pipelined.hlen(f"{posts}:items")] == [3, 3]


async def test_the_shortest_life(pipelined: Redis, name: str) -> None:
    """Items that are kept for a millisecond are gone after that, with all that was known of them."""
    await Feed(pipelined, name, ttl=0.001).post(1)

    async def is_gone() -> bool:
        return not await pipelined.keys(f"arp:{{{name}}}:*")

    await eventually(is_gone)


async def test_to_follow_again_costs_one_round_trip(pipelined: Redis, name: str) -> None:
    """Where all is as it should be, following once more copies nothing."""
    ada, bob = Feed(pipelined, f"{name}:ada"), Feed(pipelined, f"{name}:bob")
    await ada.post(1)
    await bob.follow(ada)
    calls = [int((await pipelined.info("commandstats"))["cmdstat_evalsha"]["calls"])]
    assert await bob.follow(ada) is False
    calls.append(int((await pipelined.info("commandstats"))["cmdstat_evalsha"]["calls"]))
    assert calls[1] - calls[0] == 1


async def test_items_have_the_type_of_the_codec(pipelined: Redis, name: str) -> None:
    """A codec of one type gives that type back, and what is none of it is an error of the codec."""
    await Feed(pipelined, name).post("text")
    numbers = Feed(pipelined, name, codec=codec_for(int))
    with pytest.raises(CodecError):
        await numbers.page()
    with pytest.raises(CodecError):
        await Feed(pipelined, f"{name}:other").post(object())
    assert await everything(Feed(pipelined, f"{name}:other")) == []


async def test_nonsense_is_refused(pipelined: Redis, name: str) -> None:
    """What makes no sense is refused before anything is sent."""
    feed = Feed(pipelined, name)
    for nonsense in (
        feed.page("nonsense"),
        feed.page(urlsafe_b64encode(b"-5 x").decode()),
        feed.page(urlsafe_b64encode(b"5 ").decode()),
        feed.page(None, 0),
        feed.page(None, 1001),
        feed.page(None, True),
        feed.post(1, datetime(2026, 1, 1)),
        feed.post(1, datetime(9999, 1, 1, tzinfo=UTC)),
        feed.post(1, item_id=""),
        feed.follow(feed),
        feed.follow(""),
        feed.unfollow(name),
    ):
        with pytest.raises((TypeError, ValueError)):
            await nonsense
    for options in ({"maxlen": 0}, {"maxlen": 10_001}, {"fanout": -1}, {"ttl": 0}):
        with pytest.raises(ValueError, match=r"must be"):
            Feed(pipelined, name, **options)  # type: ignore[call-overload]
    assert await keys_of(pipelined, name, "*") == []


async def test_feeds_work_in_a_cluster() -> None:
    """Feeds lie in slots of their own, and items come from one to the other wherever they are."""
    async with embedded_cluster(masters=3, replicas=0) as cluster, connect(cluster.url) as redis:
        readers = [Feed(redis, f"reader:{number}", fanout=3) for number in range(6)]
        ada = Feed(redis, "ada", fanout=3)
        await ada.post("old")
        for reader in readers:
            await reader.follow(ada)
        await ada.post("new")
        assert [await everything(reader, 1) for reader in readers] == [["new", "old"]] * 6
        for reader in readers:
            await reader.unfollow(ada)
        assert [await everything(reader) for reader in readers] == [[]] * 6
