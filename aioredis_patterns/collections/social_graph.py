"""Who follows whom.

Promise: both directions change in one script, so whoever is followed has that follower. Limit of the promise: the graph
lies in one slot, and has no expiry; a walk through followers by cursor sees everybody who was there all the time, once
or more, as SSCAN does.

Cost: one round trip; suggestions two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from aioredis_patterns._core.commands import Command
from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.members import member_text
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import Stored, stored_texts
from aioredis_patterns.types import AnyRedis, KeyPart

from .members import check_whole

__all__ = ("Neighbours", "SocialGraph", "Suggestion")

_FOLLOW: Final = Script(__package__, "social_graph_follow", keys=2)
_LOOK: Final = Script(__package__, "social_graph_look", repeatable=True)
_SUGGEST: Final = Script(__package__, "social_graph_suggest", repeatable=True)

_IS_MEMBER: Final = Command("SISMEMBER", repeatable=True)

_PART: Final = 1000
_ASKED: Final = 100
_MOST: Final = 2**53
_LAST: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A part of somebody's neighbours, whom a loop over it gives.

    Args:
        people: Who.
        cursor: What the next part is asked for with; 0 at the end.
        count: How many neighbours there are in all.

    >>> Neighbours(["ada"], 0, 1).people
    ['ada']
    """

    people: list[str]
    cursor: int
    count: int

    def __iter__(self) -> Iterator[str]:
        return iter(self.people)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Somebody to follow.

    Args:
        member: Who.
        common: How many of those whom one follows follow them too, of those who were asked.

    >>> Suggestion("ada", 3).common
    3
    """

    member: str
    common: int


@final
class SocialGraph:
    """People, and whom each of them follows.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the graph is called.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> graph = SocialGraph(redis, "people")
        >>> await graph.follow("ada", "bob"), await graph.follow("bob", "cy")
        (True, True)
        >>> await graph.follows("ada", "bob"), (await graph.followers("bob")).people
        (True, ['ada'])
        >>> [found.member for found in await graph.suggestions("ada")]
        ['cy']
    """

    __slots__ = ("_keys", "_redis", "name")

    def __init__(self, redis: AnyRedis, name: str, *, prefix: str = PREFIX) -> None:
        self.name = name
        self._redis, self._keys = redis, Keys(name, prefix)

    def __repr__(self) -> str:
        return f"<SocialGraph {self.name!r}>"

    async def follow(self, one: KeyPart, other: KeyPart) -> bool:
        """Have one follow another; whether that is new.

        Raises:
            ValueError: Both are the same.
            OutcomeUnknownError: The reply was lost; to call it again does no harm.
        """
        return await self._set(one, other, 1)

    async def unfollow(self, one: KeyPart, other: KeyPart) -> bool:
        """Have one not follow another any more; whether they did."""
        return await self._set(one, other, 0)

    async def follows(self, one: KeyPart, other: KeyPart) -> bool:
        """Whether one follows another, however many they follow."""
        return bool(await _IS_MEMBER(self._redis, self._following(one), member_text(other)))

    async def following(self, one: KeyPart, *, cursor: int = 0, count: int = _PART) -> Neighbours:
        """Whom somebody follows, about so many at a time."""
        return await self._look(self._following(one), cursor, count)

    async def followers(self, one: KeyPart, *, cursor: int = 0, count: int = _PART) -> Neighbours:
        """Who follows somebody, about so many at a time."""
        return await self._look(self._followers(one), cursor, count)

    async def mutual(self, one: KeyPart, other: KeyPart) -> list[str]:
        """Whom both follow, in alphabetical order; the server compares the two sets whole."""
        keys = self._following(one), self._following(other)
        _, _, found = await _LOOK.taking(2)(self._redis, *keys, 0, 0)
        return sorted(stored_texts(found))

    async def suggestions(self, one: KeyPart, count: int = 10) -> list[Suggestion]:
        """Whom the people that somebody follows follow, those whom most of them follow first.

        Asks about 100 of them, and of each 100 whom they follow.
        """
        check_whole(count, "count", 1, _MOST)
        asked = (await self.following(one, count=_ASKED)).people[:_ASKED]
        with Stored("a member"):
            keys = [self._following(one), *map(self._following, asked)]
        flat = await _SUGGEST.taking(len(keys))(self._redis, *keys, member_text(one), _ASKED)
        found = map(Suggestion, stored_texts(flat[::2]), flat[1::2])
        return sorted(found, key=lambda each: (-each.common, each.member))[:count]

    async def _set(self, one: KeyPart, other: KeyPart, follows: int) -> bool:
        names = member_text(one), member_text(other)
        if names[0] == names[1]:
            raise ValueError(f"{one!r} cannot follow themselves")
        return bool(await _FOLLOW(self._redis, self._following(one), self._followers(other), *names, follows))

    async def _look(self, key: str, cursor: int, count: int) -> Neighbours:
        start, most = check_whole(cursor, "cursor", 0, _LAST), check_whole(count, "count", 1, _MOST)
        following, size, found = await _LOOK(self._redis, key, start, most)
        return Neighbours(sorted(stored_texts(found)), int(following), size)

    def _following(self, one: KeyPart) -> str:
        return self._keys.key(f"following:{check_part(one, 'member')}")

    def _followers(self, one: KeyPart) -> str:
        return self._keys.key(f"followers:{check_part(one, 'member')}")
