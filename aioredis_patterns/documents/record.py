"""Record: a dataclass or a pydantic model in a hash, field by field."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final, Generic, TypeVar, final

from aioredis_patterns._core.durations import deadline_seconds, ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.errors import CodecError, ServerUnavailableError
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

from .fields import Field, Fields

__all__ = ("Record",)

T = TypeVar("T")

_GET: Final = Script(__package__, "record_get", repeatable=True)
_SET: Final = Script(__package__, "record_set")
_UPDATE: Final = Script(__package__, "record_update")
_INCREMENT: Final = Script(__package__, "record_increment")
_EXCHANGE: Final = Script(__package__, "record_exchange")
_EXPIRE: Final = Script(__package__, "record_expire")
_DELETE: Final = Script(__package__, "record_delete")

_NULL, _TOO_OLD = -1, -3
_EXACT: Final = 2**53


@final
class Record(Generic[T]):
    """Values of one type, each in a hash of its own, with a field for each of its fields.

    Promise: a change of some fields touches no other, so those who change different fields at one time lose nothing of
    each other. A value that the field's type does not allow is refused before it is sent. None is stored as such; a
    field that is not stored has its default.

    Limit of the promise: fields that the type does not know are kept by changes, and are gone after `set`. Rules of a
    model that concern several fields are checked when it is read. Without `ttl` a record has no expiry.

    Cost: one round trip, two for `modify` and `compare_and_set` while nobody else writes; one key for each record.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the records are called.
        type_: Their type: a dataclass, or a pydantic model.
        ttl: Seconds that a record lives from each `set`; changes leave its life as it is. For ever when None.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        prefix: First part of the keys.

    Raises:
        TypeError: The type is no dataclass and no model, or a field has no JSON form.
        ValueError: An argument makes no sense.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Profile:
        ...     name: str
        ...     age: int | None = None
        ...     logins: int = 0
        >>> users = Record(redis, "user", Profile)
        >>> await users.set("42", Profile("Ada"))
        >>> await users.update("42", age=36), await users.increment("42", "logins")
        (True, 1)
        >>> await users.get("42")
        Profile(name='Ada', age=36, logins=1)
    """

    __slots__ = ("_deadline", "_fields", "_keys", "_redis", "_ttl_ms", "name")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        type_: type[T],
        *,
        ttl: Seconds | None = None,
        deadline: Seconds | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self._redis, self._keys = redis, Keys(name, prefix)
        self._fields = Fields(type_)
        self._ttl_ms = 0 if ttl is None else ttl_ms(ttl)
        self._deadline = None if deadline is None else deadline_seconds(deadline)

    def __repr__(self) -> str:
        return f"<Record {self.name!r}>"

    async def get(self, key: KeyPart) -> T | None:
        """The record; None when there is none.

        Raises:
            CodecError: What is stored is not of the type.
        """
        stored = await self._stored(key)
        return self._fields.decode(stored) if stored else None

    async def set(self, key: KeyPart, value: T) -> None:
        """Store a whole record in the place of what there was.

        Raises:
            TypeError: The value is of another type, or holds more than its type's fields.
            CodecError: A field's value is not of its type.
            OutcomeUnknownError: The reply was lost; it may have been stored.
        """
        await self._call(_SET, key, self._ttl_ms, *_flat(self._fields.encode(value)))

    async def update(self, key: KeyPart, /, **changes: Any) -> bool:
        """Change the fields that are named, and write those that differ; False where there is no record.

        Raises:
            TypeError: The type has no such field.
            CodecError: A value is not of its field's type; nothing was changed.
            OutcomeUnknownError: The reply was lost; they may have been changed.
        """
        return bool(await self._call(_UPDATE, key, *_flat(self._fields.encode_some(changes))))

    async def increment(self, key: KeyPart, field: str, by: float = 1) -> float | None:
        """Add to a number; what it is now, or None where there is no record.

        One that is not stored begins at its default, or at 0. Rules of a model for the number are not asked. A float
        is kept to 17 decimals.

        Raises:
            TypeError: The field is no number, or `by` none of its kind.
            ValueError: `by` is not finite, or beyond 2**53.
            CodecError: The number is None.
            redis.exceptions.ResponseError: The sum would be too large; nothing was changed.
            OutcomeUnknownError: The reply was lost; it may have been added.
        """
        known = self._fields[field]
        step = _step(known, by)
        initial = known.encode(0 if known.required else known.default)
        kind = "float" if known.number is float else "int"
        state, data = await self._call(_INCREMENT, key, field, step, initial, kind)
        if state == _NULL:
            raise CodecError(f"field {field!r} is None, to which nothing can be added")
        value: float | None = known.codec.decode(data) if state else None
        return value

    async def modify(self, key: KeyPart, change: Callable[[T], T]) -> T | None:
        """Change a record by what it is; the new one, or None where there is none.

        The change is made anew on what is there then, if another was faster.

        Args:
            key: Of the record.
            change: Makes the new record of the old one; it may be called several times.

        Raises:
            CodecError: A field's value is not of its type.
            OutcomeUnknownError: The reply was lost; it may have been changed.
        """
        while stored := await self._stored(key):
            new = change(self._fields.decode(stored))
            if await self._exchange(key, stored, new):
                return new
        return None

    async def compare_and_set(self, key: KeyPart, old: T, new: T) -> bool:
        """Store a record if the one that is there equals the old one; False when it does not, or there is none.

        Only the fields that differ are written.

        Raises:
            CodecError: A field's value is not of its type.
            OutcomeUnknownError: The reply was lost; it may have been stored.
        """
        while stored := await self._stored(key):
            if self._fields.decode(stored) != old:
                return False
            if await self._exchange(key, stored, new):
                return True
        return False

    async def expire_field(self, key: KeyPart, field: str, ttl: Seconds) -> bool:
        """Let a field have its default again after some time; False where it is not stored.

        What writes the field again ends its expiry; `increment` leaves it.

        Raises:
            ValueError: The field has no default.
            ServerUnavailableError: Fields expire from Redis 7.4 and Valkey 9 on, and this is an older server.
        """
        if self._fields[field].required:
            raise ValueError(f"field {field!r} must have a default to expire")
        state = await self._call(_EXPIRE, key, field, ttl_ms(ttl))
        if state == _TOO_OLD:
            raise ServerUnavailableError("fields expire from Redis 7.4 and Valkey 9 on, and this server is older")
        return bool(state > 0)

    async def delete(self, key: KeyPart) -> bool:
        """Take a record away; False when there was none.

        Raises:
            OutcomeUnknownError: The reply was lost; it may be gone.
        """
        return bool(await self._call(_DELETE, key))

    async def _stored(self, key: KeyPart) -> dict[bytes, bytes]:
        flat = await self._call(_GET, key)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def _exchange(self, key: KeyPart, stored: dict[bytes, bytes], new: T) -> bool:
        encoded = self._fields.encode(new)
        changes = {name: data for name, data in encoded.items() if stored.get(name.encode()) != data}
        return bool(await self._call(_EXCHANGE, key, len(stored), *_flat(stored), *_flat(changes)))

    async def _call(self, script: Script, key: KeyPart, *args: str | bytes | int) -> Any:
        if key is None:
            raise TypeError("key must be a str or an int, not None")
        return await script(self._redis, self._keys.key("record", key), *args, deadline=self._deadline)


def _flat(pairs: dict[Any, bytes]) -> list[Any]:
    return [part for pair in pairs.items() for part in pair]


def _step(field: Field, by: Any) -> str:
    """What is added, as text, if it can be added to this field."""
    if field.number is None:
        raise TypeError(f"field {field.name!r} is no int and no float")
    if isinstance(by, bool) or not isinstance(by, int if field.number is int else (int, float)):
        raise TypeError(f"by must be {field.number.__name__} as field {field.name!r} is, not {by!r:.80}")
    if not isfinite(by) or abs(by) > _EXACT:
        raise ValueError(f"by must be within 2**53, not {by!r}")
    return repr(int(by) if isinstance(by, int) else float(by))
