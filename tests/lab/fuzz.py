"""Strange names and payloads for every pattern: `python -m tests.lab.fuzz --count 100000 --seed 1 --pattern Lock`.

In each round many probes of one pattern run together, each under a name and a subject of its own. Each puts
something, and when all have, each must find what it put and nothing of another's. What is no name and no payload must
be refused before any command is sent. No key may stay that never expires, but those that are to last. Nothing may be
raised but what the pattern's page says. A failing run prints its seed and its input.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any

from redis.asyncio import Redis

from aioredis_patterns import PatternError, connect, embedded_server

from .round_trips import LASTING, ROUND_TRIPS, Probe
from .strange import NO_NAMES, NO_PAYLOADS, names, payload, text

__all__ = ("fuzz", "refuse")

_ROUND = 200
"""Probes that run together."""

_PATIENCE = 60.0
"""Seconds that a round may take."""

Input = dict[str, Any]


async def fuzz(redis: Redis, pattern: str, count: int, dice: random.Random) -> None:
    """Run so many probes of a pattern on a server that nobody else uses.

    Raises:
        AssertionError: A promise is broken; the message has the input.
    """
    probe = ROUND_TRIPS[pattern]
    for start in range(0, count, _ROUND):
        inputs = some_inputs(probe, min(_ROUND, count - start), dice)
        async with asyncio.timeout(_PATIENCE):
            await round_of(redis, pattern, probe, inputs)


async def round_of(redis: Redis, pattern: str, probe: Probe, inputs: list[Input]) -> None:
    """Let the probes put, look for what stays for ever, and let them find."""
    probes = [probe(redis, **strange) for strange in inputs]
    await together(inputs, [anext(running) for running in probes])
    if pattern not in LASTING:
        await no_key_for_ever(redis)
    await together(inputs, [finish(running) for running in probes])
    await redis.flushdb()


async def finish(running: AsyncIterator[None]) -> None:
    """Run a probe to its end."""
    async for _ in running:
        raise AssertionError("a probe yields once")


async def together(inputs: list[Input], steps: list[Awaitable[None]]) -> None:
    """Take a step of every probe; the first failure is told with its input."""
    answers = await asyncio.gather(*steps, return_exceptions=True)
    for strange, answer in zip(inputs, answers, strict=True):
        if isinstance(answer, BaseException):
            raise AssertionError(f"{answer!r} with {strange!r}") from answer


async def no_key_for_ever(redis: Redis) -> None:
    """Every key has a time to live."""
    keys = await redis.keys("*")
    async with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.pttl(key)
        lives = await pipeline.execute()
    lasting = [key for key, life in zip(keys, lives, strict=True) if life == -1]
    assert not lasting, f"without a time to live: {lasting[:3]}"


def some_inputs(probe: Probe, count: int, dice: random.Random) -> list[Input]:
    """Inputs of which no two have the same identity: the name, or the name with the subject."""
    wanted = inspect.signature(probe).parameters
    found: dict[Any, Input] = {}
    pairs = names(dice)
    while len(found) < count:
        name, subject = next(pairs)
        strange = {
            "name": name,
            "subject": subject,
            "member": text(dice),
            "payload": payload(dice),
            "answer": payload(dice),
            "number": dice.randint(1, 9),
        }
        identity = (name, str(subject)) if "subject" in wanted else name
        found[identity] = {key: value for key, value in strange.items() if key in wanted}
    return list(found.values())


async def refuse(redis: Redis, pattern: str) -> int:
    """Give a pattern what is no name, no subject and no payload; how many of them it refused without a command.

    Raises:
        AssertionError: It took one, sent a command, or raised something else than a refusal.
    """
    probe, refused = ROUND_TRIPS[pattern], 0
    (good,) = some_inputs(probe, 1, random.Random(1))
    for part in good.keys() & {"name", "subject", "payload"}:
        for bad in NO_PAYLOADS if part == "payload" else NO_NAMES:
            before = await commands(redis)
            async with aclosing(probe(redis, **good | {part: bad})) as running:  # type: ignore[type-var]
                await refused_by(anext(running), f"{part}={bad!r:.60}")
            after = await commands(redis)
            assert after == before + 1, f"{after - before - 1} commands were sent with {part}={bad!r:.60}"
            refused += 1
    return refused


async def refused_by(step: Awaitable[None], what: str) -> None:
    try:
        await step
    except (TypeError, ValueError, PatternError):
        return
    raise AssertionError(f"{what} was taken")


async def commands(redis: Redis) -> int:
    """How many commands the server has processed."""
    return int((await redis.info("stats"))["total_commands_processed"])


def main() -> None:
    """Fuzz the patterns that were asked for, all of them when none was."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="probes of each pattern")
    parser.add_argument("--pattern", action="append", choices=ROUND_TRIPS, help="one of them; may be repeated")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")  # noqa: T201
    asyncio.run(all_of(options.pattern or list(ROUND_TRIPS), options.count, options.seed))


async def all_of(patterns: list[str], count: int, seed: int) -> None:
    for pattern in patterns:
        async with embedded_server() as server, connect(server.url, deadline=30) as redis:
            started = time.monotonic()
            await fuzz(redis, pattern, count, random.Random(f"{seed} {pattern}"))
            refused = await refuse(redis, pattern)
            took = time.monotonic() - started
            print(f"{pattern:20} {count:7} probes, {refused:2} refused, {took:6.1f} s", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
