"""The tour's step of the feeds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.feeds import Feed

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "post")

_AUTHORS: Final = ("ada", "bob", "cy")
_READERS: Final = ("told", "late")
_ITEMS: Final = 100
"""Of each author."""

_TTL: Final = 60


async def _run(stage: Stage) -> Outcome:
    authors, readers = _feeds(stage.redis, stage.prefix, _AUTHORS), _feeds(stage.redis, stage.prefix, _READERS)
    for reader in readers:
        await asyncio.gather(*(reader.follow(author) for author in authors))
    read = await stage.crew.do(f"{__name__}:post", _ITEMS)
    shown = [await _everything(reader) for reader in readers]
    await asyncio.gather(*(reader.unfollow(author) for reader in readers for author in authors))
    left = [item for reader in readers for item in await _everything(reader)]
    figures = f"{len(shown[0])} items of {len(authors)} authors, posted by {PROCESSES} processes each"
    return Outcome(figures, judge(read, shown, left))


async def post(redis: PipelinedRedis, prefix: str, items: int) -> list[str]:
    """In each process: post what the others post as well, and turn pages meanwhile; what stood on them."""
    reader = _feeds(redis, prefix, _READERS)[0]
    posting = asyncio.gather(*(_post(author, items) for author in _feeds(redis, prefix, _AUTHORS)))
    read = await _everything(reader)
    await posting
    return read


def judge(read: Sequence[Sequence[str]], shown: Sequence[Sequence[str]], left: Sequence[str]) -> tuple[Check, ...]:
    """Whether every item is shown once to everybody, and nothing of what is followed no more."""
    wanted = {f"{author} {number}" for author in _AUTHORS for number in range(_ITEMS)}
    return (
        Check("what is posted again and again is shown once", all(sorted(items) == sorted(wanted) for items in shown)),
        Check("whoever is told and whoever fetches see the same", shown[0] == shown[1]),
        Check("pages that are turned meanwhile show nothing twice", all(len({*items}) == len(items) for items in read)),
        Check("what is followed no more is gone", not left),
    )


async def _post(author: Feed[str], items: int) -> None:
    for number in range(items):
        await author.post(f"{author.name} {number}", item_id=number)


async def _everything(feed: Feed[str]) -> list[str]:
    page = await feed.page(count=10)
    items = page.items
    while page.cursor is not None:
        page = await feed.page(page.cursor, 10)
        items += page.items
    return items


def _feeds(redis: PipelinedRedis, prefix: str, names: Sequence[str]) -> list[Feed[str]]:
    return [Feed(redis, name, fanout=1, ttl=_TTL, prefix=prefix) for name in names]


STEP: Final = Step(
    "Feed",
    f"{PROCESSES} processes post the same items to {len(_AUTHORS)} feeds, which {len(_READERS)} readers follow",
    "each item is shown once, pages hold still while more arrives, and who unfollows sees no more",
    _run,
)
