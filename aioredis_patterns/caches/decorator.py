"""Cached functions: what `@cache.cached(key=...)` makes of an async function or method."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import update_wrapper
from hashlib import sha256
from string import Formatter
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar, final
from urllib.parse import quote
from uuid import UUID

from aioredis_patterns._core.keys import check_part
from aioredis_patterns.types import Seconds

__all__ = ("Cached",)

P = ParamSpec("P")
T = TypeVar("T")

_TAGGED: Final = (bool, float, type(None), UUID, date, datetime, Decimal)


class _Cache(Protocol[T]):
    """What a cached function needs of its cache."""

    async def get_or_load(
        self, key: str, loader: Callable[[], Awaitable[T]], *, ttl: Seconds | None, tags: Sequence[str]
    ) -> T: ...

    async def refresh(
        self, key: str, loader: Callable[[], Awaitable[T]], *, ttl: Seconds | None, tags: Sequence[str]
    ) -> T: ...

    async def get(self, key: str) -> T | None: ...

    async def delete(self, key: str) -> bool: ...


@final
class Cached(Generic[P, T]):
    """An async function whose results are cached. Call it like the function.

    Two calls share a result when the arguments that the template names are equal and of one type, however they were
    passed; an int and its digits as a str are one key, as everywhere here. A key that would be too long is a digest of
    it. What no key can be made of, such as a request object, is a TypeError at the call.

    Args:
        cache: Where the results are kept.
        function: What is called when there is none.
        key: The template.
        ttl: Seconds until a result has to be loaded again; the cache's own when None.
        tags: Templates.

    Example:
        >>> cache = Cache(redis, "profiles", ttl=60)
        >>> @cache.cached(key="{user_id}")
        ... async def profile(user_id: int) -> dict:
        ...     return {"id": user_id}
        >>> await profile(1)
        {'id': 1}
        >>> await profile.peek(1)
        {'id': 1}
        >>> await profile.invalidate(1)
        True
        >>> await profile.peek(1)
    """

    def __init__(
        self, cache: _Cache[T], function: Callable[P, Awaitable[T]], key: str, ttl: Seconds | None, tags: Sequence[str]
    ) -> None:
        self._cache = cache
        self._function = function
        self._ttl = ttl
        self._signature = inspect.signature(function)
        self._key = _Template(key, self._signature)
        self._tags = tuple(_Template(tag, self._signature) for tag in tags)
        self._bound: tuple[Any, ...] = ()
        update_wrapper(self, function)

    def __get__(self, instance: Any, owner: type | None = None) -> Cached[P, T]:
        """The cached method of one object."""
        if instance is None:
            return self
        bound = copy(self)
        bound._bound = (instance,)  # noqa: SLF001  # of its own class
        return bound

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, cached."""
        key, loader, tags = self._call(args, kwargs)
        return await self._cache.get_or_load(key, loader, ttl=self._ttl, tags=tags)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function anew for these arguments and cache what it gives."""
        key, loader, tags = self._call(args, kwargs)
        return await self._cache.refresh(key, loader, ttl=self._ttl, tags=tags)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the result of these arguments; whether there was one."""
        return await self._cache.delete(self.key_for(*args, **kwargs))

    async def peek(self, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The cached result of these arguments, without a call of the function; None when there is none."""
        return await self._cache.get(self.key_for(*args, **kwargs))

    def key_for(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The cache's key for these arguments."""
        return _fitting(self._key.filled(self._arguments(args, kwargs)))

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = self._signature.bind(*self._bound, *args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def _call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[str, Callable[[], Awaitable[T]], Sequence[str]]:
        """The key of a call, its loader, and its tags."""
        arguments = self._arguments(args, kwargs)
        function: Callable[..., Awaitable[T]] = self._function
        tags = [tag.filled(arguments) for tag in self._tags]
        return _fitting(self._key.filled(arguments)), lambda: function(*self._bound, *args, **kwargs), tags


class _Template:
    """Text with the names of parameters in braces.

    What stands between two of them cannot be part of an escaped value, so that different arguments never make the
    same key.

    Raises:
        ValueError: A name that is no parameter, or two with nothing between them that tells where one ends; a format.
    """

    def __init__(self, template: str, signature: inspect.Signature) -> None:
        parsed = list(Formatter().parse(template))
        if not parsed:
            raise ValueError("a template of nothing makes no key")
        if any(spec or conversion for *_, spec, conversion in parsed):
            raise ValueError(f"{template!r} formats what it names; arguments make a key as they are")
        self._pieces = [(text, field) for text, field, *_ in parsed]
        fields = [field for _, field in self._pieces if field is not None]
        for field in fields:
            if field not in signature.parameters:
                raise ValueError(f"{template!r} names {field!r}, which is no parameter of the function")
        for text, last in self._pieces[1:]:
            if last is not None and quote(text, safe="") == text:
                raise ValueError(f"{template!r} needs a character such as ':' between {{...}} and {{{last}}}")
        self._alone = len(fields) == 1

    def filled(self, arguments: dict[str, Any]) -> str:
        """The template with the arguments in it."""
        return "".join(
            text + ("" if field is None else _text(field, arguments[field], self._alone))
            for text, field in self._pieces
        )


def _fitting(key: str) -> str:
    """The key, or a digest of one that is too long to be a key."""
    try:
        check_part(key, "key")
    except ValueError:
        return f"%sha256.{sha256(key.encode()).hexdigest()}"
    return key


def _text(name: str, value: Any, alone: bool) -> str:
    """An argument as text that no argument of another value or type has."""
    if isinstance(value, Enum):
        return f"%{type(value).__name__}.{value.name}"
    if isinstance(value, str):
        return (value.replace("%", "%25") or "%str.") if alone else quote(value, safe="")
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    if isinstance(value, _TAGGED):
        return f"%{type(value).__name__}.{quote(str(value), safe='')}"
    raise TypeError(f"no key can be made of {name!r}, which is a {type(value).__qualname__}; name another in the key")
