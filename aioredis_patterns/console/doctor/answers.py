"""What a server does when it is asked: how fast it answers, what its clock says, whether scripts work."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, NoScriptError, RedisError

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.errors import PatternError

from .finding import Finding, ok, warning, wrong

__all__ = ("check_answers", "check_scripts")

_WRITE: Final = Script(__package__, "doctor_write", repeatable=True)

_ROUNDS: Final = 20
_SLOW: Final = 0.02
_CLOCKS_APART: Final = 1.0
_TTL_MS: Final = 1000


async def check_answers(redis: Redis) -> AsyncIterator[Finding]:
    """How long a round trip takes, whether the clocks agree, and whether the script cache keeps a script."""
    trips = sorted([await _round_trip(redis) for _ in range(_ROUNDS)])
    median = statistics.median(trips)
    said = f"{median * 1000:.2f} ms a round trip, the slowest of {_ROUNDS} {trips[-1] * 1000:.2f} ms"
    slow = median > _SLOW
    yield warning("latency", said, "run it nearer to the server") if slow else ok("latency", said)
    try:
        yield await _clock(redis)
        yield await _script_cache(redis)
    except NoPermissionError:
        pass  # the rights tell of it


async def _round_trip(redis: Redis) -> float:
    started = time.perf_counter()
    try:
        await redis.execute_command("PING")
    except NoPermissionError:
        pass  # an answer too
    return time.perf_counter() - started


async def _clock(redis: Redis) -> Finding:
    before = time.time()
    seconds, microseconds = await redis.time()
    ahead = seconds + microseconds / 1e6 - (before + time.time()) / 2
    if abs(ahead) < _CLOCKS_APART:
        return ok("clock", f"the server's is {ahead * 1000:+.1f} ms from this machine's")
    remedy = "run NTP on both; what counts here is the server's clock"
    return warning("clock", f"the server's is {ahead:+.1f} s from this machine's", remedy)


async def _script_cache(redis: Redis) -> Finding:
    sha = await redis.script_load("return 1")
    try:
        await redis.evalsha(sha, 0)
    except NoScriptError:
        proxy = "it forgets a script that was just loaded, so every call sends the whole script"
        return warning("script cache", proxy, "connect to the server itself; a proxy in between does this")
    return ok("script cache", "it keeps a script that was loaded")


async def check_scripts(redis: PipelinedRedis, prefix: str, name: str) -> AsyncIterator[Finding]:
    """Whether a script runs the way that every pattern takes: it asks the server's time, then writes with an expiry."""
    try:
        await _WRITE(redis, f"{prefix}:{{{name}}}:script", _TTL_MS)
    except NoPermissionError:
        return  # the rights tell of it
    except (RedisError, PatternError) as error:
        yield wrong("scripts", f"a script that asks the time and writes fails: {error}", "see what the server says")
    else:
        yield ok("scripts", "a script asks the server's time and writes, through the shared connection")
