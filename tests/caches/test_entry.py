"""Entries: any bytes whatever in the place of one are a miss and an event, and nothing else."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from redis.asyncio import Redis

from aioredis_patterns.caches import Cache
from aioredis_patterns.caches.contents import Contents
from aioredis_patterns.caches.entry import _JUDGE
from aioredis_patterns.caches.near import _READ
from aioredis_patterns.codecs import Json, Raw
from aioredis_patterns.events import PayloadUndecodable

NO_ENTRIES = [b"", b"1", b"1p", b"\xff" * 200, b"1" * 67, b"0" * 500, b"1pabcd" + b"9" * 61 + b"x", b"2" * 90]
ODD = [*NO_ENTRIES, b"1" * 68, b"1pabcd" + b"9" * 62, b"1sabcd" + b"9" * 62 + b"{}", b"1sabcd" + b"0" * 62]


def _broken(rng: random.Random, entry: bytes) -> bytes:
    """Random bytes, a cut entry, or one with some of its bytes changed."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(150))
    if kind == 1:
        return entry[: rng.randrange(len(entry))]
    changed = bytearray(entry)
    for _ in range(rng.randrange(1, 4)):
        changed[rng.randrange(len(changed))] = rng.choice(b"0123456789 -.einxNA|\x00\xff")
    return bytes(changed)


@pytest.mark.parametrize("options", [{}, {"stale_ttl": 600}])
async def test_any_bytes(pipelined: Redis, name: str, options: dict[str, Any]) -> None:
    """Reading any bytes gives a value or a miss, never an error, and loading replaces them."""
    cache = Cache(pipelined, name, ttl=60, type=dict[str, int], **options)
    rng = random.Random(5)
    value = f"arp:{{{name}|0}}:value:key"
    for number in range(5 * settings().max_examples):  # 100,000 in all in `nox -s nightly`
        await cache.set("key", {"number": 12345}, tags=["tag"] if number % 2 else [])
        entry = await pipelined.get(value)
        await pipelined.set(value, ODD[number] if number < len(ODD) else _broken(rng, entry), px=60_000)
        got = await cache.get("key")
        assert got is None or isinstance(got, dict)
        loaded = await cache.get_or_load("key", lambda number=number: {"loaded": number})
        assert isinstance(loaded, dict)
        # Changed bytes may make an entry stale, and then it is given once more.
        assert got is not None or options or loaded == {"loaded": number} == await cache.get("key")


@pytest.mark.parametrize("data", NO_ENTRIES)
async def test_what_is_no_entry(redis: Redis, name: str, data: bytes) -> None:
    """Bytes that are no entry are a miss and one event for each read, and a load puts a value in their place."""
    events: list[Any] = []
    cache = Cache(redis, name, ttl=60, on_event=events.append)
    await redis.set(f"arp:{{{name}|0}}:value:key", data, px=60_000)
    assert await cache.get("key", "missing") == "missing"
    assert [event for event in events if isinstance(event, PayloadUndecodable)] == (
        [PayloadUndecodable(pattern="Cache", name=name)]
    )
    assert await cache.get_or_load("key", lambda: "loaded") == "loaded"
    assert await cache.get("key") == "loaded"


async def test_a_value_that_does_not_decode(redis: Redis, name: str) -> None:
    """A whole entry whose value does not decode is a miss and one event, and is loaded anew."""
    events: list[Any] = []
    await Cache(redis, name, ttl=60, type=list[int]).set("key", [1])
    cache = Cache(redis, name, ttl=60, type=dict[str, int], on_event=events.append)
    assert await cache.get_or_load("key", lambda: {"a": 1}) == {"a": 1}
    assert [type(event) for event in events].count(PayloadUndecodable) == 1
    assert await cache.get("key") == {"a": 1}


async def test_an_entry_can_be_read_by_eye(pipelined: Redis, name: str) -> None:
    """A stored entry is readable text for a codec that writes text, with its tags before the value."""
    cache = Cache(pipelined, name, ttl=60)
    await cache.set("key", {"id": 7}, tags=["team:7", "all"])
    entry = await pipelined.get(f"arp:{{{name}|0}}:value:key")
    assert entry.isascii()
    assert entry.endswith(b'0010all|team:7{"id":7}')


async def test_codecs_are_told_apart() -> None:
    """Codecs that write different things have different identifiers."""
    contents = [Contents("name", None, codec, None).encode(b"1") for codec in (Json(), Raw())]
    contents.append(Contents("name", int, None, None).encode(1))
    assert len({content[:4] for content in contents}) == 3


@pytest.mark.parametrize(
    ("loads_left", "lead", "early"),
    [(5, 0, False), (5, 1_000, False), (5, 4_980, False), (5, 5_003, True), (5, 6_000, True), (0.0005, 1, True)],
)
async def test_when_it_is_time_to_load_anew(
    pipelined: Redis, name: str, loads_left: float, lead: int, early: bool
) -> None:
    """An entry expires early when less is left than the lead times what its load took."""
    now_us = ((await pipelined.time())[0] + 1) * 1_000_000
    load_us = 9_000_000_000
    left_us = round(loads_left * load_us)
    entry = b"1p0001%s%016d%016d%010d0000{}" % (b"0" * 16, now_us, now_us + left_us, load_us)
    keys = [f"{{{name}}}:{part}" for part in ("value", "marks", "tags")]
    await pipelined.set(keys[0], entry, px=60_000)
    await pipelined.set(keys[1], b"0" * 48, px=60_000)  # nothing was ever invalidated
    assert await _JUDGE(pipelined, *keys, lead) == ([entry, 0] if early else entry)
    state, left, copied = await _READ(pipelined, *keys, lead)
    assert (state, copied) == (3 if early else 1, entry)
    assert left_us - 60_000_000 < left <= left_us + 1_000_000
