"""Hostile bytes in the keys of every pattern: `python -m tests.lab.hostile --seed 1 --pattern Lock`.

For each call of each pattern the state is made anew, one key of it is replaced by something else, and then the call
is made. It may work, or end with an error of the library's own or of the server's; it may neither hang nor raise an
error of Python's from the inside. A script that breaks over what it reads is an error of the server's, and is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns import PatternError, connect, embedded_server

from .hostile_calls import CALLS, Call

__all__ = ("DAMAGE", "SurpriseError", "attack", "attack_all")

_PATIENCE: Final = 3.0
"""Seconds that a call may take."""

_LUA: Final = re.compile(
    r"user_script:\d+: |Lua redis lib command arguments|script tried accessing|attempt to |bad argument"
)
"""What the server says when a script itself broke."""

DOCUMENTED: Final[dict[str, tuple[type[Exception], ...]]] = {
    "Activity.mark": (OverflowError,),
    "Document.modify": (TypeError,),
    "Document.update": (LookupError,),
    "FeatureFlags.grant": (LookupError,),
    "FeatureFlags.revoke": (LookupError,),
    "Leaderboard, ties shared.increment": (OverflowError,),
    "Leaderboard.increment": (OverflowError,),
    "PeriodicLeaderboard.increment": (OverflowError,),
}
"""What else a call's page says that it raises: of a value, a flag or a score that is there and does not do."""

_VALUES: Final = (
    b"",
    b"\0\xff\xfe\x80",
    b"9" * 400,
    b"1e309",
    b"nan",
    b"-1",
    b"1.5",
    b"{",
    b'{"a": [1',
    b"[]",
    b"null",
    b"x y z",
)
_SCORES: Final = ("inf", "-inf", "1e308", "-1", "0", "0.5")

Damage = Callable[[Redis, bytes, random.Random], Awaitable[Any]]


async def other_type(redis: Redis, key: bytes, dice: random.Random) -> None:
    """The key holds a value of another type."""
    had = await redis.type(key)
    await redis.delete(key)
    makers: dict[bytes, Callable[[], Awaitable[Any]]] = {
        b"string": lambda: redis.set(key, dice.choice(_VALUES)),
        b"list": lambda: redis.rpush(key, *_VALUES),
        b"set": lambda: redis.sadd(key, *_VALUES),
        b"zset": lambda: redis.zadd(key, dict(zip(_VALUES, _SCORES, strict=False))),
        b"hash": lambda: redis.hset(key, mapping=dict.fromkeys(_VALUES, dice.choice(_VALUES))),
        b"stream": lambda: redis.xadd(key, {b"\0": dice.choice(_VALUES)}),
    }
    await makers[dice.choice([kind for kind in makers if kind != had])]()
    await redis.expire(key, 60)


async def other_values(redis: Redis, key: bytes, dice: random.Random) -> None:
    """The key holds the type that it did, with other values in it."""
    kind = await redis.type(key)
    if kind == b"string":
        await redis.set(key, dice.choice(_VALUES), keepttl=True)
    elif kind == b"hash":
        await redis.hset(key, mapping={field: dice.choice(_VALUES) for field in await redis.hkeys(key)})
    elif kind == b"zset":
        await redis.zadd(key, {member: dice.choice(_SCORES) for member in await redis.zrange(key, 0, -1)})
    else:
        await strangers(redis, key, dice)


async def strangers(redis: Redis, key: bytes, dice: random.Random) -> None:
    """The key holds what it did, among things that nobody put there."""
    kind, values = await redis.type(key), dice.sample(_VALUES, 3)
    if kind == b"string":
        await redis.append(key, values[0])
    elif kind == b"hash":
        await redis.hset(key, mapping={value: dice.choice(_VALUES) for value in values})
    elif kind == b"zset":
        await redis.zadd(key, {value: dice.choice(_SCORES) for value in values})
    elif kind == b"list":
        await dice.choice((redis.lpush, redis.rpush))(key, *values)
    elif kind == b"set":
        await redis.sadd(key, *values)
    else:
        await redis.xadd(key, {dice.choice((b"payload", b"key", b"x")): values[0]})


async def cut(redis: Redis, key: bytes, dice: random.Random) -> None:
    """A part of what the key held is gone."""
    kind = await redis.type(key)
    if kind == b"string":
        value = await redis.get(key)
        await redis.set(key, value[: dice.randrange(len(value) + 1)], keepttl=True)
    elif kind == b"hash":
        for field, value in (await redis.hgetall(key)).items():
            if dice.random() < 0.5:
                await redis.hdel(key, field)
            else:
                await redis.hset(key, field, value[: dice.randrange(len(value) + 1)])
    else:
        await redis.delete(key)


DAMAGE: Final[dict[str, Damage]] = {
    "another type": other_type,
    "other values": other_values,
    "strangers": strangers,
    "cut": cut,
}
"""What may have become of a key."""


class SurpriseError(AssertionError):
    """A call ended as none may."""


async def attack(redis: Redis, pattern: str, number: int, damage: str, dice: random.Random) -> str:
    """Make the state, do the damage to one of its keys, make the call of this number; how it ended.

    Raises:
        SurpriseError: In a way that is none.
    """
    await redis.flushdb()
    calls = await CALLS[pattern](redis, "name")
    keys = sorted(await redis.keys("*"))
    name, call = list(calls.items())[number]
    key = dice.choice(keys)
    await DAMAGE[damage](redis, key, dice)
    try:
        return await judged(call, DOCUMENTED.get(f"{pattern}.{name}", ()))
    except SurpriseError as surprise:
        part = key.rpartition(b"}")[2].decode(errors="replace")
        raise SurpriseError(f"{pattern}.{name}, {damage} in {part!r}: {surprise}") from surprise.__cause__


async def judged(call: Call, documented: tuple[type[Exception], ...]) -> str:
    """How a call ended."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await call()
    except TimeoutError as error:
        raise SurpriseError(f"it took more than {_PATIENCE:g} s") from error
    except (PatternError, RedisError) as error:
        return "an error of Lua" if _LUA.search(str(error)) else type(error).__name__
    except documented as error:
        return type(error).__name__
    except Exception as error:
        raise SurpriseError(f"{type(error).__name__}: {error}") from error
    return "works"


async def attack_all(redis: Redis, pattern: str, times: int, dice: random.Random) -> tuple[Counter[str], list[str]]:
    """Attack each call of a pattern so many times with each damage; how they ended, and each surprise once."""
    ends, surprises = Counter[str](), dict[str, None]()
    await redis.flushdb()
    count = len(await CALLS[pattern](redis, "name"))
    for number in range(count):
        for damage in DAMAGE:
            for _ in range(times):
                try:
                    ends[await attack(redis, pattern, number, damage, dice)] += 1
                except SurpriseError as surprise:
                    surprises[str(surprise)] = None
    return ends, list(surprises)


def main() -> int:
    """Attack the patterns that were asked for, all of them when none was; 1 when there was a surprise."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.hostile", description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="each call with each damage")
    parser.add_argument("--pattern", action="append", choices=CALLS, help="one of them; may be repeated")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}")  # noqa: T201
    return asyncio.run(all_of(options.pattern or list(CALLS), options.times, options.seed))


async def all_of(patterns: list[str], times: int, seed: int) -> int:
    failed = 0
    for pattern in patterns:
        async with embedded_server() as server, connect(server.url) as redis:
            started = time.monotonic()
            ends, surprises = await attack_all(redis, pattern, times, random.Random(f"{seed} {pattern}"))
            told = ", ".join(f"{count} {end}" for end, count in ends.most_common())
            took = f"{pattern:20} {time.monotonic() - started:6.1f} s"
            print(f"{took}: {told}", *surprises, sep="\n    ", flush=True)  # noqa: T201
            failed += len(surprises)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
