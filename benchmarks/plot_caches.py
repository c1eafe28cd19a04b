"""Draws what each way of caching costs the store, and how old its readers' values are, from a real run.

A price changes twice a second in a store that takes 150 ms to read; 40 readers ask for it all the time. Every way
of caching it has the same store's changes, one after the other: `python benchmarks/plot_caches.py`.
"""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import matplotlib as mpl
from redis.asyncio import Redis

from aioredis_patterns import Cache, Loading, NearCache, WriteThrough, connect, embedded_server

mpl.use("svg")
from matplotlib import pyplot as plt

FILE = Path(__file__).parent.parent / "docs" / "guide" / "plots" / "caches.svg"
READERS, PAUSE, LOAD, CHANGES, END, TTL, SLICE = 40, 0.02, 0.15, 0.5, 8.0, 2.0, 0.05
STYLE = {"svg.hashsalt": "caches", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
LOADS, OLD, SLOW, INK = "#1a7f37", "#b35900", "#8250df", "#555555"

Read = Callable[[], Awaitable[int]]
Write = Callable[[int], Awaitable[object]]


@dataclass
class Store:
    """A price that changes, slow to read, and what it was asked."""

    start: float = field(default_factory=monotonic)
    changed: list[float] = field(default_factory=lambda: [0.0])
    loads: list[float] = field(default_factory=list)

    def now(self) -> float:
        return monotonic() - self.start

    async def load(self) -> int:
        self.loads.append(self.now())
        version = len(self.changed)
        await asyncio.sleep(LOAD)
        return version

    async def write(self, _key: Any = None, _value: Any = None) -> None:
        self.changed.append(self.now())

    def age(self, version: int, asked: float) -> float:
        """For how long the value that a reader got had been replaced when he asked."""
        return max(0.0, asked - self.changed[version]) if version < len(self.changed) else 0.0


@dataclass
class Seen:
    """What one way of caching did."""

    title: str
    loads: list[float]
    reads: list[tuple[float, float, float]]  # when, how old, how long it took


def five_lines(redis: Redis, store: Store) -> tuple[Read, Write]:
    async def read() -> int:
        value = await redis.get("plot:five")
        if not value:
            value = json.dumps(await store.load())
            await redis.set("plot:five", value, px=int(TTL * 1000))
        return int(json.loads(value))

    return read, store.write


def cached(name: str, **options: Any) -> Callable[[Redis, Store], tuple[Read, Write]]:
    def build(redis: Redis, store: Store) -> tuple[Read, Write]:
        cache = Cache[int](redis, name, ttl=TTL, **options)
        return lambda: cache.get_or_load("price", store.load), store.write

    return build


def written_through(redis: Redis, store: Store) -> tuple[Read, Write]:
    cache = Cache[int](redis, "through", ttl=60)
    prices = WriteThrough(cache, store.write)
    return lambda: cache.get_or_load("price", store.load), lambda version: prices.set("price", version)


WAYS: dict[str, Callable[[Redis, Store], tuple[Read, Write]]] = {
    "five lines: GET, else load and SET EX 2": five_lines,
    "Cache(ttl=2)": cached("aside"),
    "Cache(ttl=2, stale_ttl=60)": cached("stale", stale_ttl=60),
    "Cache(ttl=2), Loading(early=1)": cached("early", loading=Loading(early=1.0)),
    "Cache(ttl=2, near=NearCache())": cached("near", near=NearCache()),
    "WriteThrough": written_through,
}


async def watch(title: str, redis: Redis) -> Seen:
    """Let the readers read while the price changes."""
    store = Store()
    read, write = WAYS[title](redis, store)
    reads: list[tuple[float, float, float]] = []

    async def reader(number: int) -> None:
        rng = random.Random(number)
        while (asked := store.now()) < END:
            version = await read()
            reads.append((asked, store.age(version, asked), store.now() - asked))
            await asyncio.sleep(PAUSE * (0.5 + rng.random()))

    async def writer() -> None:
        while True:
            await asyncio.sleep(CHANGES)
            await write(len(store.changed) + 1)

    writing = asyncio.create_task(writer())
    await asyncio.gather(*(reader(number) for number in range(READERS)))
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    return Seen(title, store.loads, sorted(reads))


async def run() -> list[Seen]:
    async with embedded_server() as server, connect(server.url) as redis:
        return [await watch(title, redis) for title in WAYS]


def draw(ways: list[Seen]) -> None:
    figure, rows = plt.subplots(len(ways), 1, figsize=(7.2, 1.35 * len(ways)), sharex=True, layout="constrained")
    for axes, seen in zip(rows, ways, strict=True):
        axes.fill_between(*oldest(seen), color=OLD, step="post", linewidth=0)
        slow = sorted({round(at, 2) for at, _, took in seen.reads if took > LOAD / 3})
        axes.plot(slow, [-0.6] * len(slow), "|", color=SLOW, markersize=6, markeredgewidth=0.8)
        loads = sorted({round(at, 2) for at in seen.loads})
        axes.plot(loads, [-1.15] * len(loads), "|", color=LOADS, markersize=6, markeredgewidth=0.8)
        axes.set(ylim=(-1.6, 2.6), xlim=(-0.05, END + 0.05))
        axes.set_yticks([-1.15, -0.6, 0, 1, 2], ["loads", "waits", "0 s", "1 s", "2 s"])
        axes.set_title(summary(seen), fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlabel("seconds; orange: for how long the value given had been replaced in the store")
    figure.savefig(FILE, metadata={"Date": None, "Creator": None})


def oldest(seen: Seen) -> tuple[list[float], list[float]]:
    """The oldest value that a reader got in each slice of time."""
    worst = [0.0] * (round(END / SLICE) + 1)
    for at, old, _ in seen.reads:
        worst[int(at / SLICE)] = max(worst[int(at / SLICE)], old)
    return [number * SLICE for number in range(len(worst))], worst


def summary(seen: Seen) -> str:
    ages, waits = sorted(old for _, old, _ in seen.reads), sorted(took for _, _, took in seen.reads)
    waited = len(waits) - bisect_right(waits, LOAD / 3)
    return f"{seen.title}: {len(seen.loads)} loads, {waited} of {len(waits)} reads waited, {ages[-1]:.1f} s old at most"


def main() -> None:
    mpl.rcParams.update(STYLE)
    ways = asyncio.run(run())
    draw(ways)
    print("\n".join(summary(seen) for seen in ways))


if __name__ == "__main__":
    main()
