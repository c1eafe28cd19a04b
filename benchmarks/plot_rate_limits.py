"""Draws what each rate limit admits, from a real run: `python benchmarks/plot_rate_limits.py`.

All limits are asked at the same moments, by the same clients: a first one, a flood around the end of the first window,
silence, another flood, and an even stream that is a little too fast.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from time import monotonic

import matplotlib as mpl

from aioredis_patterns import (
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limiter,
    RateLimitExceededError,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
    connect,
    embedded_server,
)

mpl.use("svg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parent.parent / "docs" / "guide" / "plots"
LIMIT, PERIOD, END = 20, 2.0, 10.0
KINDS: tuple[type[Limiter], ...] = (TokenBucket, Gcra, LeakyBucket, FixedWindow, SlidingWindow, SlidingLog)
FLOODS = ((1.4, 3.0, 40), (4.6, 6.6, 40), (7.0, 9.6, 12))  # from, to, requests a second
STYLE = {"svg.hashsalt": "rate limits", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
ADMITTED, DENIED, INK = "#1a7f37", "#d0a0a0", "#555555"


def moments() -> list[float]:
    rng = random.Random(1)
    times = [0.0]
    for start, end, rate in FLOODS:
        times += [start + (end - start) * rng.random() for _ in range(round((end - start) * rate))]
    return sorted(times)


async def ask(limiter: Limiter, start: float, at: float) -> tuple[float, bool]:
    """When the answer came, and which."""
    await asyncio.sleep(start + at - monotonic())
    if not isinstance(limiter, LeakyBucket):
        return at, (await limiter.hit()).allowed
    try:
        await limiter.acquire()
    except RateLimitExceededError:
        return at, False
    return monotonic() - start, True


async def run() -> dict[str, list[tuple[float, bool]]]:
    async with embedded_server() as server, connect(server.url) as redis:
        limiters = [kind(redis, kind.__name__, limit=LIMIT, period=PERIOD) for kind in KINDS]  # type: ignore[call-arg]
        await asyncio.gather(*(limiter.peek() for limiter in limiters))
        start = monotonic() + 0.1
        asked = [asyncio.gather(*(ask(limiter, start, at) for at in moments())) for limiter in limiters]
        return {limiter.name: sorted(await answers) for limiter, answers in zip(limiters, asked, strict=True)}


def draw(name: str, answers: list[tuple[float, bool]]) -> None:
    admitted = [at for at, allowed in answers if allowed]
    denied = [at for at, allowed in answers if not allowed]
    # What the last period has admitted changes when a request comes and when one is a period old.
    changes = sorted([(at, 1) for at in admitted] + [(at + PERIOD, -1) for at in admitted])
    steps = [sum(change for _, change in changes[: i + 1]) for i in range(len(changes))]
    figure, axes = plt.subplots(figsize=(7.2, 1.9), layout="constrained")
    axes.step([at for at, _ in changes], steps, where="post", color=INK, linewidth=1.2)
    axes.axhline(LIMIT, color=INK, linewidth=0.7, linestyle=":")
    for level, times, colour in ((-6, admitted, ADMITTED), (-14, denied, DENIED)):
        axes.plot(times, [level] * len(times), "|", color=colour, markersize=6, markeredgewidth=0.8)
    axes.set(xlim=(-0.1, END + PERIOD), ylim=(-19, 2 * LIMIT + 3), xlabel="seconds")
    axes.set_yticks([-14, -6, 0, LIMIT, 2 * LIMIT], ["denied", "admitted", "0", f"{LIMIT}", f"{2 * LIMIT}"])
    title = f"{name}: {len(admitted)} of {len(answers)} admitted; line: in the last {PERIOD:g} s, {max(steps)} at most"
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FOLDER / f"{name.lower()}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def main() -> None:
    mpl.rcParams.update(STYLE)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, answers in asyncio.run(run()).items():
        draw(name, answers)
        print(f"{name}: {sum(allowed for _, allowed in answers)} of {len(answers)} admitted")


if __name__ == "__main__":
    main()
