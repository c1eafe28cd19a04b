"""Draws what a claim costs the server while the queue grows, from a real run: `python benchmarks/plot_queues.py`."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

import matplotlib as mpl
import redis.asyncio as redis_py
from bench_queues import KINDS

from aioredis_patterns import connect, embedded_server

mpl.use("svg")
from matplotlib import pyplot as plt

FILE = Path(__file__).parent.parent / "docs" / "guide" / "plots" / "queues.svg"
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
CLAIMS = 200
STYLE = {"svg.hashsalt": "queues", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
COLOURS = {"Queue": "#1a7f37", "PriorityQueue": "#8250df"}


async def claims_us(redis: redis_py.Redis, queue: object) -> float:
    """Microseconds that the server works for one claim: the median of some."""
    found = []
    for _ in range(CLAIMS):
        await redis.config_resetstat()
        (delivery,) = await queue.claim_many(1, timeout=0)  # type: ignore[attr-defined]
        found.append((await redis.info("commandstats"))["cmdstat_evalsha"]["usec"])
        await delivery.hand_back()
    return statistics.median(found)


async def run() -> dict[str, list[float]]:
    """For each kind what a claim costs at each size."""
    found: dict[str, list[float]] = {kind.__name__: [] for kind in KINDS}
    async with embedded_server(args=["--save", ""]) as server, connect(server.url) as redis:
        for kind in KINDS:
            queue, filled = kind(redis, "growth"), 0
            for size in SIZES:
                for at in range(filled, size, 10_000):
                    await queue.put_many(["x" * 98] * min(10_000, size - at))
                filled = size
                found[kind.__name__].append(await claims_us(redis, queue))
            await redis.flushdb()
    return found


def draw(found: dict[str, list[float]]) -> None:
    figure, axes = plt.subplots(figsize=(7.2, 2.4), layout="constrained")
    for kind, costs in found.items():
        axes.plot(SIZES, costs, "o-", color=COLOURS[kind], label=kind, linewidth=1.2, markersize=4)
    axes.set(xscale="log", ylim=(0, 1.5 * max(map(max, found.values()))), xlabel="messages in the queue")
    axes.set_title("microseconds of the server for one claim", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(FILE, metadata={"Date": None, "Creator": None})


def main() -> None:
    mpl.rcParams.update(STYLE)
    found = asyncio.run(run())
    draw(found)
    for kind, costs in found.items():
        print(kind, *(f"{size:,}: {cost:.0f} us" for size, cost in zip(SIZES, costs, strict=True)), sep="  ")


if __name__ == "__main__":
    main()
