"""What a loader may say besides a value: how long it lives, under which tags, or that nothing has changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar
from urllib.parse import quote, unquote

from aioredis_patterns.types import Seconds

from .entry import fitting, joined_tags

__all__ = ("Loaded", "NOT_MODIFIED", "NotModified", "Stale", "etag_of", "names_with", "tags_of")

T = TypeVar("T")

_ETAG: Final = "%="
"""What the etag begins with among the tags of an entry; an escaped tag never begins so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[T]):
    """A value, with what its loader alone knows of it.

    Args:
        value: What was loaded.
        ttl: Seconds until it has to be loaded again; as the call said when None.
        tags: Tags beside those of the call. An invalidation of one during the load is seen only when the call names
            it too.
        etag: What a later loader asks the store with, whether the value has changed.
        store: Whether the value is stored; False hands it to those who wait, and to nobody else.

    Example:
        >>> cache = Cache(redis, "rates", ttl=60)
        >>> await cache.get_or_load("EUR", lambda: Loaded(value=1.08, ttl=5))
        1.08
    """

    value: T
    ttl: Seconds | None = None
    tags: Iterable[str] = ()
    etag: str | None = None
    store: bool = True


@dataclass(frozen=True, slots=True)
class Stale(Generic[T]):
    """The value that is to be replaced: a loader that takes two arguments gets it as the second, or None.

    >>> Stale("Ada", etag='"v7"')
    Stale(value='Ada', etag='"v7"')
    """

    value: T
    etag: str | None = None


class NotModified(Enum):
    """The type of `NOT_MODIFIED`.

    >>> NOT_MODIFIED
    NOT_MODIFIED
    """

    NOT_MODIFIED = "NOT_MODIFIED"

    def __repr__(self) -> str:
        return self.name


NOT_MODIFIED: Final = NotModified.NOT_MODIFIED
"""What a loader brings when the stale value that it was given is still right: it counts as loaded now."""


def names_with(tags: str, more: Iterable[str], etag: str | None) -> str:
    """The tags of an entry as it keeps them: those joined already, more of them, and the etag.

    Raises:
        TypeError: They are no names, or the etag is no str.
        ValueError: More than an entry can keep.
    """
    names = sorted({name for name in tags.split("|") + joined_tags(more).split("|") if name})
    if etag is not None:
        if not isinstance(etag, str):
            raise TypeError(f"etag must be a str, not {etag!r:.80}")
        names.append(_ETAG + quote(etag, safe=""))
    return fitting("|".join(names))


def tags_of(names: str) -> tuple[str, ...]:
    """The tags that an entry keeps, as they were given."""
    return tuple(unquote(name) for name in names.split("|") if name and not name.startswith(_ETAG))


def etag_of(names: str) -> str | None:
    """The etag that an entry keeps among its tags."""
    return next((unquote(name.removeprefix(_ETAG)) for name in names.split("|") if name.startswith(_ETAG)), None)
