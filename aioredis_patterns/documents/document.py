"""Document: JSON in a string, changed at a path or compared and set as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from aioredis_patterns._core.durations import deadline_seconds, ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.codecs import Json
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

from .path import parse_path, placed

__all__ = ("Document",)

_GET: Final = Script(__package__, "document_get", repeatable=True)
_SET: Final = Script(__package__, "document_set")
_EXCHANGE: Final = Script(__package__, "document_exchange")
_DELETE: Final = Script(__package__, "document_delete")

_JSON: Final = Json()


@final
class Document:
    """JSON documents, each in a string of its own.

    Promise: a change at a path is made on what is there at that moment, so of two that are made at one time none is
    lost. Numbers of any size, empty lists and the order of members come back as they were: no script decodes them.

    Limit of the promise: every change reads and writes the whole document, so one that is large or that many change
    at once belongs into a `Record`. Without `ttl` a document has no expiry.

    Cost: one round trip; two for a change, and two more each time that another was faster; one key for each document.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the documents are called.
        ttl: Seconds that a document lives from each `set`; changes leave its life as it is. For ever when None.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> docs = Document(redis, "settings")
        >>> await docs.set("ada", {"theme": "light", "tabs": [1, 2]})
        >>> await docs.update("ada", "$.theme", "dark"), await docs.update("ada", "$.tabs[1]", 7)
        (True, True)
        >>> await docs.get("ada")
        {'theme': 'dark', 'tabs': [1, 7]}
    """

    __slots__ = ("_deadline", "_keys", "_redis", "_ttl_ms", "name")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        ttl: Seconds | None = None,
        deadline: Seconds | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self._redis, self._keys = redis, Keys(name, prefix)
        self._ttl_ms = 0 if ttl is None else ttl_ms(ttl)
        self._deadline = None if deadline is None else deadline_seconds(deadline)

    def __repr__(self) -> str:
        return f"<Document {self.name!r}>"

    async def get(self, key: KeyPart) -> Any:
        """The document; None when there is none.

        Raises:
            CodecError: What is stored is no JSON.
        """
        data = await self._call(_GET, key)
        return _JSON.decode(data) if data else None

    async def set(self, key: KeyPart, value: Any) -> None:
        """Store a document in the place of what there was; without `ttl` it keeps the expiry of that.

        Raises:
            CodecError: The value has no JSON form.
            TypeError: The value is None, which is said of one that is not there.
            OutcomeUnknownError: The reply was lost; it may have been stored.
        """
        await self._call(_SET, key, _encoded(value), self._ttl_ms)

    async def update(self, key: KeyPart, path: str, value: Any) -> bool:
        """Put a value at a path, and keep the expiry; False where there is no document.

        Args:
            key: Of the document.
            path: `$.theme`, `$.tabs[0].title`, `$['a.b']`; the last member may be new, all others must be there.
            value: What to put there.

        Raises:
            ValueError: The path makes no sense.
            LookupError: It leads nowhere; nothing was changed.
            CodecError: The value has no JSON form.
            OutcomeUnknownError: The reply was lost; it may have been changed.
        """
        steps = parse_path(path)
        _JSON.encode(value)
        return await self.modify(key, lambda old: placed(old, steps, value)) is not None

    async def modify(self, key: KeyPart, change: Callable[[Any], Any]) -> Any:
        """Change a document by what it is, and keep the expiry; the new one, or None where there is none.

        Args:
            key: Of the document.
            change: Makes the new document of the old one, which it may change; it may be called several times.

        Raises:
            CodecError: The new document has no JSON form.
            OutcomeUnknownError: The reply was lost; it may have been changed.
        """
        while before := await self._call(_GET, key):
            new = change(_JSON.decode(before))
            if await self._call(_EXCHANGE, key, before, _encoded(new), self._ttl_ms):
                return new
        return None

    async def compare_and_set(self, key: KeyPart, old: Any, new: Any) -> bool:
        """Store a document if the one that is there equals the old one, and keep the expiry; else answer False.

        Equal is what Python calls so: 1 and True are.

        Args:
            key: Of the document.
            old: What must be there; None for nothing.
            new: What to store.

        Raises:
            CodecError: The new document has no JSON form.
            OutcomeUnknownError: The reply was lost; it may have been stored.
        """
        after = _encoded(new)
        while True:
            before = await self._call(_GET, key)
            if (_JSON.decode(before) if before else None) != old:
                return False
            if await self._call(_EXCHANGE, key, before, after, self._ttl_ms):
                return True

    async def delete(self, key: KeyPart) -> bool:
        """Take a document away; False when there was none.

        Raises:
            OutcomeUnknownError: The reply was lost; it may be gone.
        """
        return bool(await self._call(_DELETE, key))

    async def _call(self, script: Script, key: KeyPart, *args: str | bytes | int) -> Any:
        if key is None:
            raise TypeError("key must be a str or an int, not None")
        return await script(self._redis, self._keys.key("document", key), *args, deadline=self._deadline)


def _encoded(value: Any) -> bytes:
    if value is None:
        raise TypeError("a document must not be None, which is said of one that is not there")
    return _JSON.encode(value)
