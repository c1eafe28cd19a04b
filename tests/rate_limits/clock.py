"""A clock that the test turns, for the real scripts on the real server: its TIME and its expiry follow it."""

from __future__ import annotations

import hashlib
from typing import Any

from redis.asyncio import Redis

from aioredis_patterns._core.lua import Source
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.types import AnyRedis

START = 1_800_000_000_000_000

# In front of a script: what it calls goes through here. A key's expiry is kept in a key beside it.
SHIM = """
local server, now = redis, tonumber(table.remove(ARGV))
local function look(key)
  local ends = tonumber(server.call('GET', key .. ':expiry') or 'none')
  if ends and math.floor(now / 1000) > ends then
    server.call('DEL', key, key .. ':expiry')
    ends = nil
  end
  return ends
end
local function expire(key, ms)
  server.call('SET', key .. ':expiry', string.format('%.0f', math.floor(now / 1000) + ms), 'PX', 600000)
  return server.call('PEXPIRE', key, 600000)
end
local virtual = {}
function virtual.TIME()
  return { string.format('%.0f', math.floor(now / 1000000)), string.format('%.0f', now % 1000000) }
end
function virtual.SET(key, value, option, ms)
  server.call('SET', key, value, 'KEEPTTL')
  return option == 'PX' and expire(key, tonumber(ms))
end
function virtual.PEXPIRE(key, ms)
  return server.call('EXISTS', key) == 1 and expire(key, tonumber(ms)) or 0
end
function virtual.PTTL(key)
  local ends = look(key)
  return server.call('EXISTS', key) == 0 and -2 or ends and ends - math.floor(now / 1000) or -1
end
function virtual.DEL(...)
  local count = 0
  for _, key in ipairs({ ... }) do
    server.call('DEL', key .. ':expiry')
    count = count + server.call('DEL', key)
  end
  return count
end
local redis = {}
function redis.call(command, key, ...)
  if key then look(key) end
  if virtual[command] then return virtual[command](key, ...) end
  return server.call(command, key, ...)
end
function redis.pcall(command, key, ...)
  look(key)
  return server.pcall(command, key, ...)
end
"""


class Clock:
    """The time, in whole microseconds; it stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_us = START

    async def ttl(self, redis: Redis, key: str) -> float | None:
        """Seconds that a key has left, None for ever."""
        ends = await redis.get(f"{key}:expiry")
        return None if ends is None else int(ends) / 1000 - self.now_us / 1_000_000


class Timed(Script):
    """A script whose time is a clock's."""

    __slots__ = ("clock",)

    def __init__(self, script: Script, clock: Clock) -> None:
        text = SHIM.encode() + script.source.text
        self.name, self.keys = script.name, script.keys
        self.repeatable, self.lease = script.repeatable, script.lease
        self.source = Source(script.name, text, hashlib.sha1(text, usedforsecurity=False).hexdigest())
        self._heads = {}
        self.clock = clock

    async def __call__(self, redis: AnyRedis, *keys_and_args: str | bytes | int, deadline: float | None = None) -> Any:
        return await super().__call__(redis, *keys_and_args, self.clock.now_us, deadline=deadline)
