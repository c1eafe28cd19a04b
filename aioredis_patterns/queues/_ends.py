"""A list with two ends, which a `Stack` and a `Deque` push to and take from."""

from __future__ import annotations

from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, final

from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.codecs import Json
from aioredis_patterns.types import AnyRedis, Codec

__all__ = ("Ends", "Side", "WhenFull")

T = TypeVar("T")

Side: TypeAlias = Literal["left", "right"]
WhenFull: TypeAlias = Literal["drop", "refuse"]

_PUSH: Final = Script(__package__, "ends_push")
_POP: Final = Script(__package__, "ends_pop")
_PEEK: Final = Script(__package__, "ends_peek", repeatable=True)

_MOST_AT_ONCE: Final = 1000


@final
class Ends(Generic[T]):
    """The items of one name.

    Args:
        redis: Any asyncio client of redis-py.
        keys: Of the name.
        part: What the list's key ends with.
        maxlen: How many items there may be; None for any number.
        when_full: Whether one more drops one at the other end, or is refused.
        codec: How items become bytes; `codecs.Json` when None.
    """

    __slots__ = ("_codec", "_full", "_key", "_most", "_redis")

    def __init__(
        self,
        redis: AnyRedis,
        keys: Keys,
        part: str,
        maxlen: int | None,
        when_full: WhenFull,
        codec: Codec[Any] | None,
    ) -> None:
        if maxlen is not None and maxlen < 1:
            raise ValueError(f"maxlen must be at least 1, not {maxlen!r}")
        if when_full not in ("drop", "refuse"):
            raise ValueError(f"when_full must be 'drop' or 'refuse', not {when_full!r}")
        self._redis, self._key = redis, keys.key(part)
        self._most, self._full = maxlen or 0, when_full
        self._codec: Codec[T] = Json() if codec is None else codec

    async def push(self, side: Side, items: tuple[T, ...]) -> bool:
        """Push items, all or none; whether they were."""
        if not 1 <= len(items) <= _MOST_AT_ONCE:
            raise ValueError(f"1 to {_MOST_AT_ONCE} items may be pushed at once, not {len(items)}")
        data = [self._codec.encode(item) for item in items]
        length: int = await _PUSH(self._redis, self._key, side, self._most, self._full, *data)
        return length > 0

    async def pop(self, side: Side, count: int) -> list[T]:
        """Take items, the outermost first."""
        if not 1 <= count <= _MOST_AT_ONCE:
            raise ValueError(f"count must be from 1 to {_MOST_AT_ONCE}, not {count!r}")
        return [self._codec.decode(item) for item in await _POP(self._redis, self._key, side, count)]

    async def peek(self, side: Side) -> T | None:
        """The outermost item, which stays; None when there is none."""
        _, *items = await _PEEK(self._redis, self._key, 0 if side == "left" else -1)
        return self._codec.decode(items[0]) if items and items[0] is not None else None

    async def count(self) -> int:
        """How many items there are."""
        length: int = (await _PEEK(self._redis, self._key, 0))[0]
        return length
