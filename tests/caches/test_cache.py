"""Cache: what is stored comes back, what is missing is told from it, and every key expires."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache, Loaded, Loading
from aioredis_patterns.codecs import Raw
from aioredis_patterns.errors import CodecError
from aioredis_patterns.events import CacheLoaded, CacheRequested

MISSING = object()
VALUES = [
    None,
    False,
    0,
    -5,
    2**70,
    "",
    b"",
    b"\x00\xff",
    "42",
    [],
    {},
    float("inf"),
    {"a": [1, (2, 3)]},
    "ü\r\n",
]


@dataclass
class User:
    id: int
    tags: list[str]


async def test_what_is_set_is_got(redis: Redis, name: str) -> None:
    """Whatever was stored comes back equal and of the same type, None and the other falsy values included."""
    cache = Cache(redis, name, ttl=60)
    for number, value in enumerate(VALUES):
        await cache.set(number, value)
    got = [await cache.get(number, MISSING) for number in range(len(VALUES))]
    assert got == VALUES
    assert [type(value) for value in got] == [type(value) for value in VALUES]


async def test_falsy_values_are_hits(redis: Redis, name: str) -> None:
    """A loader that brings None, False, 0 or b"" is not called a second time."""
    cache = Cache(redis, name, ttl=60)
    for number, value in enumerate((None, False, 0, b"")):
        assert await cache.get_or_load(number, lambda value=value: value) == value
        assert await cache.get_or_load(number, _must_not_run) == value


async def test_missing_is_not_none(redis: Redis, name: str) -> None:
    """A key that is missing gives the default, a cached None does not."""
    cache = Cache(redis, name, ttl=60)
    assert await cache.get("key", MISSING) is MISSING
    assert await cache.get("key") is None
    await cache.set("key", None)
    assert await cache.get("key", MISSING) is None


async def test_typed_values(redis: Redis, name: str) -> None:
    """A typed cache gives its type, to the one who loaded as well as to those who hit."""
    cache = Cache(redis, name, ttl=60, type=User)
    loaded = await cache.get_or_load(1, lambda key: User(key, ["x"]))
    assert loaded == await cache.get(1) == User(1, ["x"])


async def test_codec(redis: Redis, name: str) -> None:
    """A cache takes any codec."""
    cache = Cache(redis, name, ttl=60, codec=Raw())
    await cache.set("key", b"\x00raw")
    assert await cache.get("key") == b"\x00raw"


async def test_other_codec_is_a_miss(pipelined: Redis, name: str) -> None:
    """What one codec wrote is a miss for another, never a wrong value."""
    await Cache(pipelined, name, ttl=60).set("key", [1])
    raw = Cache(pipelined, name, ttl=60, codec=Raw())
    assert await raw.get("key") is None
    assert await raw.get_or_load("key", lambda: b"raw") == b"raw"
    assert await raw.get("key") == b"raw"


async def test_delete(redis: Redis, name: str) -> None:
    """A deleted value is gone, and delete tells whether there was one."""
    cache = Cache(redis, name, ttl=60)
    await cache.set("key", 1)
    assert await cache.delete("key") is True
    assert await cache.delete("key") is False
    assert await cache.get("key", MISSING) is MISSING


async def test_expire(redis: Redis, name: str) -> None:
    """An expired value is no hit, with and without a stale one kept."""
    for stale_ttl in (None, 600):
        cache = Cache(redis, f"{name}:{stale_ttl}", ttl=60, stale_ttl=stale_ttl)
        await cache.set("key", 1)
        assert await cache.expire("another") is False
        assert await cache.expire("key") is True
        assert await cache.get("key", MISSING) is MISSING
        assert await cache.get_or_load("key", lambda: 2) == 2


async def test_ttl(redis: Redis, name: str) -> None:
    """A value is gone after its own ttl, whatever the cache's is."""
    cache = Cache(redis, name, ttl=60)
    await cache.set("set", 1, ttl=0.05)
    await cache.get_or_load("loaded", lambda: 1, ttl=timedelta(milliseconds=50))
    await _until_missing(cache, "set")
    await _until_missing(cache, "loaded")


async def test_stale_ttl(redis: Redis, name: str) -> None:
    """A value past its ttl is no hit, though it is kept for the whole stale_ttl."""
    cache = Cache(redis, name, ttl=0.05, stale_ttl=60)
    await cache.set("key", 1)
    await _until_missing(cache, "key")
    assert await redis.pttl(f"arp:{{{name}|0}}:value:key") > 50_000


async def test_every_key_expires(redis: Redis, name: str) -> None:
    """No key is without a ttl, during a load, after it, and after a failed one; marks outlive the values."""
    cache = Cache(redis, name, ttl=600, stale_ttl=900)

    async def load() -> int:
        assert min([await redis.pttl(key) for key in await _keys(redis, name)]) > 0
        return 1

    await cache.get_or_load("key", load, tags=["tag"])
    await cache.set("other", 1, tags=["tag"])
    with pytest.raises(ZeroDivisionError):
        await cache.get_or_load("bad", lambda: 1 / 0)
    await cache.expire("key")
    remaining = {key.rpartition("}:")[2]: await redis.pttl(key) for key in await _keys(redis, name)}
    assert set(remaining) == {"marks", "value:key", "value:other"}
    assert 0 < remaining["value:key"] <= 900_000 < remaining["marks"]


async def test_lost_marks_mean_invalid(redis: Redis, name: str) -> None:
    """When the server lost its record of invalidations, nothing stored before is trusted, and all goes on."""
    cache = Cache(redis, name, ttl=60)
    await cache.set("key", 1)
    await redis.delete(f"arp:{{{name}|0}}:marks")
    assert await cache.get("key", MISSING) is MISSING
    assert await cache.get_or_load("key", lambda: 2) == 2
    assert await cache.get("key") == 2


async def test_keys(redis: Redis, name: str) -> None:
    """An int stands for its digits, and no key collides with another or with a part of the cache."""
    cache = Cache(redis, name, ttl=60)
    await cache.set(42, "int")
    assert await cache.get("42") == "int"
    odd = ["a|b", "a%7Cb", "}", "{x}", "marks", "*", "\n", "ü"]
    for key in odd:
        await cache.set(key, key)
    assert [await cache.get(key) for key in odd] == odd
    for wrong in (b"bytes", 1.5, None, True):
        with pytest.raises(TypeError):
            await cache.get(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="512 characters"):
        await cache.get("")


def _no_argument() -> str:
    return "none"


def _optional(key: str = "default") -> str:
    return key


async def _async_key(key: str) -> str:
    return key


@pytest.mark.parametrize(
    ("loader", "expected"),
    [
        (_no_argument, "none"),
        (_optional, "default"),
        (_async_key, "key"),
        (lambda key, other="x": key + other, "keyx"),
        (functools.partial(_async_key, "bound"), "bound"),
        (functools.partial(lambda db, key: db + key, "db:"), "db:key"),
        ({"key": "dict"}.__getitem__, "dict"),
    ],
)
async def test_loader_forms(pipelined: Redis, name: str, loader: Callable[..., Any], expected: str) -> None:
    """A loader, sync or async, gets the key exactly when it has a parameter that must be given."""
    assert await Cache(pipelined, name, ttl=60).get_or_load("key", loader) == expected


async def test_everyone_gets_a_copy(redis: Redis, name: str) -> None:
    """What one caller does to its value reaches neither the cache nor the callers that waited with it."""
    cache = Cache(redis, name, ttl=60)
    first, second = await asyncio.gather(*(cache.get_or_load("key", lambda: [1]) for _ in range(2)))
    first.append(2)
    assert second == [1] == await cache.get("key")


async def test_what_cannot_be_encoded(redis: Redis, name: str) -> None:
    """A value that no codec can write is the caller's error, stores nothing and leaves nothing behind."""
    cache = Cache(redis, name, ttl=60)
    with pytest.raises(CodecError):
        await cache.set("key", object())
    with pytest.raises(CodecError):
        await cache.get_or_load("key", object)
    assert [key for key in await _keys(redis, name) if not key.endswith("marks")] == []


async def test_script_flush(redis: Redis, name: str) -> None:
    """A server that forgets its scripts all the time is not noticed."""
    cache = Cache(redis, name, ttl=60)
    for number in range(10):
        await redis.script_flush()
        assert await cache.get_or_load(number, lambda key: key) == number
        await redis.script_flush()
        assert await cache.get(number) == number


async def test_events(pipelined: Redis, name: str) -> None:
    """Hits, misses and loads are told, with the cache's name."""
    events: list[Any] = []
    cache = Cache(pipelined, name, ttl=60, on_event=events.append)
    await cache.get("key")
    await cache.get_or_load("key", lambda: 1)
    await cache.get_or_load("key", lambda: 1)
    with pytest.raises(ZeroDivisionError):
        await cache.get_or_load("bad", lambda: 1 / 0)
    requests = [event.outcome for event in events if isinstance(event, CacheRequested)]
    loads = [event.outcome for event in events if isinstance(event, CacheLoaded)]
    assert (requests, loads) == (["miss", "miss", "hit", "miss"], ["stored", "failed"])
    assert {event.name for event in events} == {name}


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": float("nan")},
        {"ttl": 60, "stale_ttl": 59},
        {"ttl": 60, "jitter": 2},
        {"ttl": 60, "type": int, "codec": Raw()},
    ],
)
async def test_options_that_make_no_sense(pipelined: Redis, name: str, options: dict[str, Any]) -> None:
    """A cache that cannot work is refused when it is made."""
    with pytest.raises(ValueError, match=r"must be|not both"):
        Cache(pipelined, name, **options)


async def test_tags_are_several_names(pipelined: Redis, name: str) -> None:
    """One str where several tags are meant is refused, and so are tags without end."""
    cache = Cache(pipelined, name, ttl=60)
    with pytest.raises(TypeError):
        await cache.set("key", 1, tags="team")
    with pytest.raises(ValueError, match="9999 bytes"):
        await cache.set("key", 1, tags=[f"{n:0500}" for n in range(30)])
    several = [[f"{part}{n:0500}" for n in range(12)] for part in "ab"]
    for more in ({"tags": several[1]}, {"etag": "x" * 5_000}):
        with pytest.raises(ValueError, match="9999 bytes"):
            await cache.get_or_load("key", lambda more=more: Loaded(value=1, **more), tags=several[0])
    with pytest.raises(TypeError, match="etag"):
        await cache.get_or_load("key", lambda: Loaded(value=1, etag=7))


async def _must_not_run() -> None:
    raise AssertionError("the value is cached")


async def _until_missing(cache: Cache[Any], key: str) -> None:
    async with asyncio.timeout(5):
        while await cache.get(key, MISSING) is not MISSING:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.005)


async def _keys(redis: Redis, name: str) -> list[str]:
    keys = [key async for key in redis.scan_iter(f"*{name}*")]
    return sorted(key.decode() if isinstance(key, bytes) else key for key in keys)


@pytest.mark.parametrize(
    "options",
    [{"lease": 0}, {"timeout": -1}, {"abandoned": "forget"}, {"patience": -1}, {"pause": -1}, {"early": -1}],
)
def test_ways_of_loading_that_make_no_sense(options: dict[str, Any]) -> None:
    """A way of loading that cannot work is refused when it is made."""
    with pytest.raises(ValueError, match="must be"):
        Loading(**options)
