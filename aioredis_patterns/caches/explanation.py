"""Explaining: what a cache has under one key, for whoever wonders why it answers as it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis

from .contents import is_failure
from .entry import HEADER, Place
from .loaded import etag_of, tags_of

__all__ = ("Explanation", "explain")

_EXPLAIN: Final = Script(
    __package__,
    "cache_explain",
    keys=5,
    fragments=("fragment_time", "fragment_marks", "fragment_state"),
    repeatable=True,
)

_STATES: Final[dict[int, Literal["fresh", "stale", "none", "broken"]]] = {
    1: "fresh",
    2: "stale",
    0: "none",
    -1: "broken",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What there is under one key of a cache.

    >>> cache = Cache(redis, "users", ttl=60)
    >>> await cache.set(42, "Ada", tags=["team:7"])
    True
    >>> told = await cache.explain(42)
    >>> told.state, told.tags, told.loading
    ('fresh', ('team:7',), False)
    """

    key: str
    #: The key in Redis.
    redis_key: str
    #: `invalidated`: there are bytes that a tag or `clear` made worthless; `broken`: they are no entry of a cache;
    #: `failed`: a load failed less than `Loading.error_ttl` ago.
    state: Literal["fresh", "stale", "none", "invalidated", "broken", "failed"]
    #: Seconds since it was stored.
    age: float
    #: Seconds until it is stale, and until it is dropped.
    fresh_for: float
    kept_for: float
    #: Seconds that its load took.
    load: float
    tags: tuple[str, ...]
    etag: str | None
    #: With its header.
    bytes: int
    #: Whether a process loads it, or writes the store behind it, at this moment.
    loading: bool
    writing: bool
    #: Whether this process has a copy.
    near: bool


async def explain(redis: AnyRedis, place: Place, key: str, *, near: bool, deadline: float | None) -> Explanation:
    """Ask the server."""
    reply: list[Any] = await _EXPLAIN(redis, *place.keys, place.writers, deadline=deadline)
    state, age_us, left_us, kept_ms, size, head, lead_ms, writers = reply
    broken = state < 0 or not size
    names = "" if broken else head[HEADER:].decode()
    return Explanation(
        key=key,
        redis_key=place.value,
        state="failed" if is_failure(head) and state == 1 else "invalidated" if size and state == 0 else _STATES[state],
        age=age_us / 1_000_000,
        fresh_for=left_us / 1_000_000,
        kept_for=max(kept_ms, 0) / 1000,
        load=0.0 if broken else int(head[54:64]) / 1_000_000,
        tags=tags_of(names),
        etag=etag_of(names),
        bytes=size,
        loading=lead_ms >= 0,
        writing=bool(writers),
        near=near,
    )
