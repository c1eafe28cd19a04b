"""Things by their tags: all of these, any of those, none of the others.

Promise: an item and the sets of its tags change in one script, so a search never finds half of a change. Limit of the
promise: the index lies in one slot, and has no expiry. A search with `any` or `none` reads the sets it names whole.

Cost: one round trip; to forget an item two, and more only while others change it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.members import member_text
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import stored_texts
from aioredis_patterns.types import AnyRedis, KeyPart

from .members import MOST, member_texts

__all__ = ("TagIndex",)

_ADD: Final = Script(__package__, "tag_index_add", keys=2, repeatable=True)
_REMOVE: Final = Script(__package__, "tag_index_remove", keys=2)
_FIND: Final = Script(__package__, "tag_index_find", repeatable=True)


@final
class TagIndex:
    """Items, and the tags that each of them has.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the index is called.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> tags = TagIndex(redis, "posts")
        >>> await tags.add("p1", "red", "big")
        >>> await tags.add("p2", "red")
        >>> await tags.find(all=["red"], none=["big"])
        ['p2']
    """

    __slots__ = ("_items", "_keys", "_redis", "name")

    def __init__(self, redis: AnyRedis, name: str, *, prefix: str = PREFIX) -> None:
        self.name = name
        self._redis, self._keys = redis, Keys(name, prefix)
        self._items = self._keys.key("items")

    def __repr__(self) -> str:
        return f"<TagIndex {self.name!r}>"

    async def add(self, item: KeyPart, *tags: KeyPart) -> None:
        """Give an item tags, beside those it has.

        Raises:
            ValueError: It would have more than 1,000; nothing was changed.
        """
        texts = member_texts(tags, "tag")
        keys = self._items, self._tags_of(item), *map(self._tagged, texts)
        if await _ADD.taking(len(keys))(self._redis, *keys, member_text(item, "item"), MOST, *texts) < 0:
            raise ValueError(f"an item may have {MOST} tags, and {item!r} would have more")

    async def remove(self, item: KeyPart, *tags: KeyPart) -> int:
        """Take tags from an item, or all it has when none is named; how many it had of them.

        Raises:
            OutcomeUnknownError: The reply was lost; they may have been taken.
        """
        if tags:
            return await self._remove(item, member_texts(tags, "tag"), 0)
        while (taken := await self._remove(item, await self.tags(item), 1)) < 0:
            pass  # another has changed its tags meanwhile, so somebody got on
        return taken

    async def tags(self, item: KeyPart) -> list[str]:
        """The tags of an item, in alphabetical order."""
        found = await _FIND(self._redis, self._tags_of(item), 0, 0)
        return sorted(stored_texts(found, "a tag"))

    async def find(
        self,
        *,
        all: Iterable[KeyPart] = (),  # noqa: A002  # the words of the trade
        any: Iterable[KeyPart] = (),  # noqa: A002
        none: Iterable[KeyPart] = (),
    ) -> list[str]:
        """The items that have all of some tags, at least one of others, and none of the last, in alphabetical order.

        Without any tag named these are all items.
        """
        must, may, must_not = [member_texts(tags, "tag", least=0) for tags in (all, any, none)]
        keys = [self._items, *(self._tagged(tag) for tag in (*must, *may, *must_not))]
        found = await _FIND.taking(len(keys))(self._redis, *keys, len(must), len(may))
        return sorted(stored_texts(found, "an item"))

    async def _remove(self, item: KeyPart, tags: list[str], whole: int) -> int:
        keys = self._items, self._tags_of(item), *map(self._tagged, tags)
        script = _REMOVE.taking(len(keys))
        taken: int = await script(self._redis, *keys, member_text(item, "item"), whole, *tags)
        return taken

    def _tags_of(self, item: KeyPart) -> str:
        return self._keys.key(f"tags:{check_part(item, 'item')}")

    def _tagged(self, tag: KeyPart) -> str:
        return self._keys.key(f"tagged:{check_part(tag, 'tag')}")
