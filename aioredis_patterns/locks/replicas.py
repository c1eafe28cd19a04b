"""A lock that replicas have to know before it counts, so that a failover does not give it away again.

The script and a WAIT behind it go in one write on a connection that nobody else has, because WAIT counts only what its
own connection wrote.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, Literal, TypeAlias, final

from redis.exceptions import RedisError

from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import background
from aioredis_patterns.client.link import Link
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.errors import LockError, OutcomeUnknownError, PatternError

__all__ = ("OnMissing", "Replicated", "checked_replicas")

OnMissing: TypeAlias = Literal["fail", "warn", "ignore"]
"""What too few replicas do: no lock and a `LockError`, a line in the log, or nothing."""

_PATIENCE: Final = 0.1
"""Share of the lease for which replicas are waited for."""

_AT_ONCE: Final = 32
"""Connections that wait for replicas at the same time; further calls wait for one of them."""

_logger = logging.getLogger("aioredis_patterns")


@final
class Replicated:
    """A script that takes a lock, called as a `Script` is, with WAIT behind it.

    Args:
        script: Its first argument after the keys is the token; its answer is positive when it took the lock.
        name: Of the lock.
        replicas: How many have to have it.
        lease_ms: Of the lock.
        on_missing: What happens when fewer have it in time.
    """

    __slots__ = ("_lease_ms", "_name", "_on_missing", "_replicas", "_script", "_under_way", "name")

    def __init__(self, script: Script, name: str, replicas: int, lease_ms: int, on_missing: OnMissing) -> None:
        self.name = script.name
        self._script, self._name, self._replicas = script, name, replicas
        self._lease_ms, self._on_missing = lease_ms, on_missing
        self._under_way: dict[str, asyncio.Task[tuple[int, int] | Exception]] = {}

    async def __call__(self, link: Link, *keys_and_args: str | bytes | int, deadline: float) -> int:
        """Call the script; its answer.

        Raises:
            LockError: It took the lock, and too few replicas have it in time.
            OutcomeUnknownError, redis.exceptions.RedisError: Redis failed.
        """
        token = str(keys_and_args[self._script.keys])
        task = self._under_way[token] = background(
            self._outcome(link, keys_and_args, deadline), name="redis lock replicated"
        )
        await asyncio.wait([task])
        del self._under_way[token]
        outcome = task.result()
        if isinstance(outcome, Exception):
            raise outcome
        answer, reached = outcome
        if answer > 0 and reached < self._replicas:
            self._miss(reached)
        return answer

    async def then(self, token: str, undo: Awaitable[object]) -> None:
        """Undo a call; one whose caller was cancelled goes on, and is undone when it has ended."""
        if (task := self._under_way.pop(token, None)) is not None:
            await asyncio.wait([task])
        await undo

    async def _outcome(
        self, link: Link, keys_and_args: tuple[str | bytes | int, ...], deadline: float
    ) -> tuple[int, int] | Exception:
        # EVAL, since an EVALSHA that the server does not know would have its WAIT answered before it is repeated.
        packed = pack_command(("EVAL", self._script.source.text, self._script.keys, *keys_and_args))
        wait_ms = max(int(min(self._lease_ms * _PATIENCE, deadline * 500)), 1)
        try:
            async with asyncio.timeout(deadline), link.companion(_Gate).places:
                return await link.blocking.write_and_wait(
                    self.name, packed, str(keys_and_args[0]), replicas=self._replicas, wait_ms=wait_ms
                )
        except TimeoutError:
            return OutcomeUnknownError(self.name, f"no reply within {deadline:g} s")
        except (RedisError, PatternError, OSError) as error:
            return error

    def _miss(self, reached: int) -> None:
        said = f"lock {self._name!r} reached {reached} of {self._replicas} replicas in time"
        if self._on_missing == "fail":
            raise LockError(self._name, said)
        if self._on_missing == "warn":
            _logger.warning(said)


@final
class _Gate:
    """How many calls of one client may wait for replicas at the same time."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(_AT_ONCE)


def checked_replicas(min_replicas: int, on_missing: OnMissing) -> int:
    """The number as it is, refused when it or the policy makes no sense."""
    if isinstance(min_replicas, bool) or not isinstance(min_replicas, int):
        raise TypeError(f"min_replicas must be an int, not {min_replicas!r:.80}")
    if min_replicas < 0:
        raise ValueError(f"min_replicas must be 0 or more, not {min_replicas}")
    if on_missing not in ("fail", "warn", "ignore"):
        raise ValueError(f"on_missing_replicas must be 'fail', 'warn' or 'ignore', not {on_missing!r}")
    return min_replicas
