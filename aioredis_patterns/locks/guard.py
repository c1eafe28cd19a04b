"""The resource's side of a lock: a write by a holder that was overtaken is refused.

A holder may be stopped for longer than its lease (a long garbage collection, a frozen machine, a slow network), go on
without knowing that another has the lock, and write. Nothing in the lock can prevent that. Each holder's fence is
greater than those before, so what is written to can: it remembers the newest fence it has seen, and refuses older ones.

Promise: after a write with one fence no write with a smaller one is executed; check and write are one step.

Limit of the promise: only writes that pass through the guard are checked. The newest fence is remembered for `ttl`
after the last write, on the server that has the guard; a failover that forgets the guard forgets what it protects.

Cost: one round trip and one key.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, final

from redis.exceptions import ResponseError

from aioredis_patterns._core.durations import ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys, slot
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import is_cluster, link_of
from aioredis_patterns.errors import LockLostError
from aioredis_patterns.types import AnyRedis, Seconds

__all__ = ("FenceGuard",)

_RUN: Final = Script(__package__, "guard_run")

_REFUSED: Final = "FENCED "

_MOST: Final = 2**53
"""Integers below are exact in Lua."""


@final
class FenceGuard:
    """Runs writes to Redis only while their fence is not older than the newest seen.

    Promise, limit and cost: see the module.

    What is written to an SQL database is guarded there: the fence stands in a column beside the data, and the write has
    a condition. When it has changed no row, a newer holder has written, and the transaction is rolled back::

        UPDATE account SET balance = :balance, fence = :fence WHERE id = :id AND fence <= :fence

    Args:
        redis: Any asyncio client of redis-py.
        name: What is guarded: one name for each thing whose holders have fences from the same lock.
        ttl: Seconds that the newest fence is remembered after the last write: longer than any holder may be stopped.
        prefix: First part of the key.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> async def main(redis):
        ...     guard = FenceGuard(redis, "account:42")
        ...     async with Lock(redis, "account:42") as lease:
        ...         write = "return redis.call('SET', KEYS[1], ARGV[1])"
        ...         await guard.run(lease.fence, write, keys=["{account:42}:balance"], args=["100"])
    """

    __slots__ = ("_key", "_redis", "_ttl_ms", "name")

    def __init__(self, redis: AnyRedis, name: str, *, ttl: Seconds = 30 * 86_400, prefix: str = PREFIX) -> None:
        self.name = name
        self._redis = redis
        self._key = Keys(name, prefix).key("guard")
        self._ttl_ms = ttl_ms(ttl)

    def __repr__(self) -> str:
        return f"<FenceGuard {self.name!r}>"

    async def run(
        self, fence: int, script: str, keys: Sequence[str] = (), args: Sequence[str | bytes | int] = ()
    ) -> Any:
        """Execute a Lua script as the write of the holder of a fence, and give its reply; strings of it are bytes.

        Args:
            fence: The holder's: `lease.fence`.
            script: Lua, with KEYS and ARGV of its own. It is sent in full once; afterwards only its digest is.
            keys: What it touches. In a cluster each has the guard's hash tag: `{name}`.
            args: Its arguments.

        Raises:
            LockLostError: A newer fence has been seen; nothing was written.
            OutcomeUnknownError: The reply was lost; the write may have been executed, once.
            redis.exceptions.ResponseError: The script failed.
        """
        link, guarded = link_of(self._redis), self._checked(fence, script, keys, args)
        try:
            return await guarded(link, self._key, *keys, fence, self._ttl_ms, *args)
        except ResponseError as error:
            if not str(error).startswith(_REFUSED):
                raise
            newest = str(error).removeprefix(_REFUSED)
            raise LockLostError(self.name, f"fence {fence} is older than {newest}") from None

    def _checked(self, fence: int, script: str, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Script:
        if isinstance(fence, bool) or not isinstance(fence, int):
            raise TypeError(f"fence must be an int, not {fence!r:.80}")
        if not 0 < fence < _MOST:
            raise ValueError(f"fence must be positive and less than 2**53, not {fence}")
        if not isinstance(script, str):
            raise TypeError(f"script must be a str, not {script!r:.80}")
        if isinstance(keys, str | bytes) or not all(isinstance(key, str | bytes) for key in keys):
            raise TypeError(f"keys must be a sequence of str, not {keys!r:.80}")
        if isinstance(args, str | bytes):
            raise TypeError(f"args must be a sequence of arguments, not {args!r:.80}")
        if is_cluster(self._redis) and any(slot(key) != slot(self._key) for key in keys):
            tag = self._key[self._key.index("{") : self._key.index("}") + 1]
            raise ValueError(f"in a cluster every key must have the guard's hash tag {tag}")
        return _guarded(script, 1 + len(keys))


@lru_cache(maxsize=256)
def _guarded(script: str, keys: int) -> Script:
    return _RUN.followed_by(script).taking(keys)
