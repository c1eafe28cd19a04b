"""Cached functions: what makes their keys, and what can be done with their results."""

from __future__ import annotations

import enum
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache


class Color(enum.Enum):
    RED = 1


async def test_a_cached_function(redis: Redis, name: str) -> None:
    """A function is called once for equal arguments, however they are passed."""
    cache = Cache(redis, name, ttl=60)
    calls = []

    @cache.cached(key="{user_id}:{page}")
    async def posts(user_id: int, page: int = 1, limit: int = 10) -> list[int]:
        """Posts of a user."""
        calls.append((user_id, page))
        return [user_id, page]

    assert await posts(1) == await posts(1, 1) == await posts(user_id=1, page=1, limit=5) == [1, 1]
    assert await posts(1, 2) == [1, 2]
    assert calls == [(1, 1), (1, 2)]
    assert (posts.__name__, posts.__doc__, posts.key_for(1)) == ("posts", "Posts of a user.", "1:1")


async def test_invalidate_refresh_peek(redis: Redis, name: str) -> None:
    """A result can be looked at, removed and made anew by its arguments."""
    cache = Cache(redis, name, ttl=60)
    count = 0

    @cache.cached(key="{key}")
    async def counted(key: str) -> int:
        nonlocal count
        count += 1
        return count

    assert await counted.peek("a") is None
    assert await counted("a") == 1 == await counted.peek("a") == await cache.get("a")
    assert await counted.refresh("a") == 2 == await counted("a")
    assert await counted.invalidate("a") is True
    assert await counted.invalidate("a") is False
    assert await counted("a") == 3


async def test_methods(redis: Redis, name: str) -> None:
    """Of a method the object is no part of the key unless the template names what it holds."""
    cache = Cache(redis, name, ttl=60)

    class Repository:
        def __init__(self, label: str) -> None:
            self.label = label

        @cache.cached(key="{user_id}")
        async def user(self, user_id: int) -> str:
            """A user."""
            return f"{self.label}:{user_id}"

    assert await Repository("a").user(1) == "a:1" == await Repository("b").user(1)
    await Repository("b").user.invalidate(1)
    assert await Repository("b").user(1) == "b:1"
    assert Repository.user.__doc__ == "A user."


async def test_tags(redis: Redis, name: str) -> None:
    """Tags are templates too."""
    cache = Cache(redis, name, ttl=60)

    @cache.cached(key="{team}:{user}", tags=["team:{team}", "all"])
    async def member(team: str, user: int) -> str:
        return f"{team}{user}"

    for team in "ab":
        await member(team, 1)
    await cache.invalidate("team:a")
    assert [await member.peek(team, 1) for team in "ab"] == [None, "b1"]
    await cache.invalidate("all")
    assert await member.peek("b", 1) is None


async def test_different_arguments_make_different_keys(pipelined: Redis, name: str) -> None:
    """No two different arguments make one key, whatever characters they hold."""

    @Cache(pipelined, name, ttl=60).cached(key="{a}:{b}")
    async def function(a: Any, b: Any) -> None: ...

    identity = uuid.uuid4()
    values: list[Any] = ["x:y", "y", "x", "1:", "", ":", "%3A", True, "True", "%bool.True", None, "None", 1.0]
    values += ["1.0", Color.RED, "RED", identity, str(identity), 1]
    pairs = [(a, b) for a in values for b in values]
    assert len({function.key_for(a, b) for a, b in pairs}) == len(pairs)


async def test_an_int_stands_for_its_digits(pipelined: Redis, name: str) -> None:
    """A template of one parameter makes the key that the cache itself would take."""

    @Cache(pipelined, name, ttl=60).cached(key="{key}")
    async def function(key: Any) -> None: ...

    assert [function.key_for(key) for key in (42, "42", "a:b/c", "ü", "50%")] == ["42", "42", "a:b/c", "ü", "50%25"]


async def test_what_no_key_can_be_made_of(pipelined: Redis, name: str) -> None:
    """Objects that live for one request are refused by name when the function is called."""

    @Cache(pipelined, name, ttl=60).cached(key="{request}")
    async def function(request: Any) -> None: ...

    for wrong in (object(), [1], {"a": 1}):
        with pytest.raises(TypeError, match="'request'"):
            await function(wrong)


async def test_any_text_makes_a_key(redis: Redis, name: str) -> None:
    """An argument may be empty or of any length, and no two make one key."""
    calls = []

    @Cache(redis, name, ttl=60).cached(key="{query}")
    async def search(query: str | None) -> int:
        calls.append(query)
        return len(calls)

    queries = ["", None, "x" * 600, "x" * 601, "%" * 200, "\n" * 512, "x" * 512]
    for _ in range(2):
        assert [await search(query) for query in queries] == [*range(1, len(queries) + 1)]
    assert calls == queries
    assert await search.invalidate("x" * 600) is True
    assert await search.peek("x" * 600) is None
    assert search.key_for("x" * 512) == "x" * 512


@pytest.mark.parametrize("template", ["{nobody}", "{a}{b}", "{a}x{b}", "{}", "{a!r}", "{a:>5}", ""])
async def test_templates_that_cannot_work(pipelined: Redis, name: str, template: str) -> None:
    """A template with unknown names, or with names that run into each other, is refused when it is made."""

    async def function(a: int, b: int) -> None: ...

    with pytest.raises(ValueError, match=r"parameter|between|formats|nothing"):
        Cache(pipelined, name, ttl=60).cached(key=template)(function)
