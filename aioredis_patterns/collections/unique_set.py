"""A set that tells who is new: visitors, processed ids, used codes.

Promise: of many who add the same member at one time, one is told that it was new. Limit of the promise: a call whose
reply is lost raises `OutcomeUnknownError`, as to repeat it would answer otherwise. Without `ttl` the key has no expiry.

Cost: one round trip, one key; memory grows with the members.
"""

from __future__ import annotations

from typing import Any, Final, final

from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import stored_texts
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

from .members import check_whole, member_texts

__all__ = ("UniqueSet",)

_ADD: Final = Script(__package__, "unique_set_add")
_LOOK: Final = Script(__package__, "unique_set_look", repeatable=True)
_REMOVE: Final = Script(__package__, "unique_set_remove")

_LARGEST_SAMPLE: Final = 1000


@final
class UniqueSet:
    """Members, each once.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the set is called.
        ttl: Seconds that the set lives from its first member; for ever when None.
        prefix: First part of the key.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> seen = UniqueSet(redis, "visitors", ttl=86_400)
        >>> await seen.add("ada", "bob"), await seen.add("ada", "cy")
        (2, 1)
        >>> await seen.contains("ada"), await seen.count()
        (True, 3)
    """

    __slots__ = ("_key", "_redis", "_ttl_ms", "name")

    def __init__(self, redis: AnyRedis, name: str, *, ttl: Seconds | None = None, prefix: str = PREFIX) -> None:
        self.name = name
        self._redis, self._key = redis, Keys(name, prefix).key("members")
        self._ttl_ms = 0 if ttl is None else ttl_ms(ttl)

    def __repr__(self) -> str:
        return f"<UniqueSet {self.name!r}>"

    async def add(self, *members: KeyPart) -> int:
        """Add 1 to 1,000 members; how many of them were new.

        Raises:
            OutcomeUnknownError: The reply was lost; they may have been added.
        """
        added: int = await _ADD(self._redis, self._key, self._ttl_ms, *member_texts(members))
        return added

    async def remove(self, *members: KeyPart) -> int:
        """Remove 1 to 1,000 members; how many of them were there.

        Raises:
            OutcomeUnknownError: The reply was lost; they may have been removed.
        """
        removed: int = await _REMOVE(self._redis, self._key, *member_texts(members))
        return removed

    async def contains(self, member: KeyPart) -> bool:
        """Whether it is a member."""
        return bool((await self._look(0, *member_texts([member])))[1])

    async def count(self) -> int:
        """How many members there are."""
        size: int = (await self._look(0))[0]
        return size

    async def sample(self, count: int) -> list[str]:
        """Up to so many different members, drawn at random."""
        return stored_texts((await self._look(check_whole(count, "count", 1, _LARGEST_SAMPLE)))[1:])

    async def _look(self, sample: int, *members: str) -> Any:
        return await _LOOK(self._redis, self._key, sample, *members)
