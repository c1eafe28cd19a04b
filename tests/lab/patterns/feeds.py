"""Feeds in the laboratory: what was posted is on the pages of each follower, once, and gone when it is unfollowed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from time import monotonic
from typing import Final, final

from redis.asyncio import Redis

from aioredis_patterns.feeds import Feed
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import pause

__all__ = ("FEEDS", "Following")

READERS, SOURCES, ROUNDS, TRIES = 2, 2, 8, 3
WINDOW = 5.0
"""Seconds that a source is posted to."""

FANOUT = 2
"""Followers to whom items are brought; the others fetch them."""

TTL, COUNT = 50.0, 20

_LASTING: Final = (":followers", ":following", ":fetched")
"""Who follows whom has no expiry."""


@final
class Following:
    """Some who post, and some who follow them, read, and unfollow."""

    name = "Feed"

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Post from one task, and read from others."""
        reading = [self._read(redis, diary, rng, until) for _ in range(READERS)]
        await asyncio.gather(self._post(redis, diary, rng, until), *reading)

    def _feed(self, redis: Redis, name: str) -> Feed[str]:
        return Feed(redis, name, fanout=FANOUT, ttl=TTL)

    def _source(self, rng: random.Random) -> str:
        return f"{self.name}:{int(monotonic() / WINDOW)}-{rng.randrange(SOURCES)}"

    async def _post(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Post, and post again what may not have come everywhere."""
        count = 0
        while not until.is_set():
            count += 1
            source, item = self._source(rng), f"{diary.worker}:{count}"
            for _ in range(TRIES):
                with diary.call(self.name, "post", source, item) as call:
                    await self._feed(redis, source).post(item, item_id=item)
                if call.outcome == "ok":
                    break
            await asyncio.sleep(pause(rng) * 3)

    async def _read(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Be one reader after the other; one who does not know whom he follows is one no more."""
        while not until.is_set():
            source, follows = self._source(rng), False
            with diary.call(self.name, "reader") as call:
                reader = f"{self.name}:{diary.worker}-{call.number}"
            feed = self._feed(redis, reader)
            for _ in range(ROUNDS):
                if not follows or rng.random() < 0.2:
                    follows = not follows
                    with diary.call(self.name, "follow" if follows else "unfollow", reader, source) as call:
                        await (feed.follow(source) if follows else feed.unfollow(source))
                    if call.outcome != "ok":
                        break
                with diary.call(self.name, "read", reader) as call:
                    call.result = await _all_pages(feed)
                await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Items that were not on a page where they belong, or twice, or on one where they do not belong."""
        posts: dict[str, dict[str, list[Call]]] = defaultdict(lambda: defaultdict(list))
        follows: dict[str, list[Call]] = defaultdict(list)
        for call in history:
            if call.operation == "post":
                source, item = call.arguments
                posts[source][item].append(call)
            elif call.operation in ("follow", "unfollow"):
                follows[call.arguments[0]].append(call)
        return [
            f"{what}: {call}"
            for call in history
            if call.operation == "read" and call.outcome == "ok"
            for what in _wrong(call, follows[call.arguments[0]], posts)
        ]

    async def left(self, redis: Redis) -> list[str]:
        """Keys that outlive the items."""
        return await orphans(redis, self.name, *_LASTING)


async def _all_pages(feed: Feed[str]) -> list[str]:
    """The items of all pages, while more arrive."""
    page = await feed.page(count=COUNT)
    items = page.items
    while page.cursor is not None:
        page = await feed.page(page.cursor, COUNT)
        items += page.items
    return items


def _wrong(read: Call, follows: Sequence[Call], posts: dict[str, dict[str, list[Call]]]) -> list[str]:
    """What is wrong with what a reader saw, who is alone in changing whom he follows."""
    last = [call for call in follows if call.ended <= read.begun][-1]
    source = last.arguments[1]
    if last.operation == "unfollow":
        return [f"{len(read.result)} items of nobody"] * bool(read.result)
    seen = Counter(read.result)
    known = posts[source]
    missing = {
        item
        for item, calls in known.items()
        if item not in seen and any(one.outcome == "ok" and one.ended < read.begun for one in calls)
    }
    strange = {item for item in seen if item not in known or known[item][0].begun > read.ended}
    twice = {item for item, count in seen.items() if count > 1}
    return [
        f"{what} {sorted(items)}"
        for what, items in (("lacks", missing), ("has for no reason", strange), ("has twice", twice))
        if items
    ]


FEEDS = (Following(),)
