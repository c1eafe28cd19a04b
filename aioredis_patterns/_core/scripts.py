"""A Lua script as a module constant: read once, called by EVALSHA on the client's shared connection.

Three hops lead from a public method to Redis: the pattern's file, `Script`, the `.lua` file. NOSCRIPT never reaches a
caller: the call is repeated at once as EVAL, which is atomic and one trip, and SCRIPT LOAD follows behind it.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import Any

from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError

from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.lane import Lane, forget
from aioredis_patterns.client.link import RECOVERABLE, Link, Request
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.events import ScriptCalled, emit
from aioredis_patterns.types import AnyRedis, EventHook, ScriptOutcome, Seconds

from .durations import deadline_seconds
from .lua import new_source, read_source

__all__ = ("Script",)


class Script:
    """One server-side decision.

    Args:
        package: The room that owns the script: `__package__`.
        name: The file's name in the room's `lua` folder, without `.lua`.
        keys: How many keys it takes.
        fragments: Names of shared Lua files put in front of it.
        calls: Names of other scripts of the room that it calls as functions.
        repeatable: It answers the same when it is executed twice (for its token or operation id), so a call whose
            reply was lost is repeated within its deadline. Without it such a call raises `OutcomeUnknownError`.
        lease: It guards a hold, so it takes the lane that no big reply and no backlog stands before.
    """

    __slots__ = ("_heads", "keys", "lease", "name", "repeatable", "source")

    def __init__(
        self,
        package: str | None,
        name: str,
        *,
        keys: int = 1,
        fragments: tuple[str, ...] = (),
        calls: tuple[str, ...] = (),
        repeatable: bool = False,
        lease: bool = False,
    ) -> None:
        self.name = name
        self.keys = keys
        self.repeatable = repeatable
        self.lease = lease
        self.source = read_source(package or "", name, fragments, calls)
        self._heads: dict[int, tuple[bytes, int]] = {}

    def taking(self, keys: int) -> Script:
        """The same script for so many keys: for one that does the same to each key it is given."""
        other = copy(self)
        other.keys = keys
        other._heads = {}  # noqa: SLF001
        return other

    def followed_by(self, lua: str) -> Script:
        """The same script with a user's own Lua behind it, which is loaded when it is first called."""
        other = copy(self)
        other.source = new_source(self.name, self.source.text + b"\n" + lua.encode())
        other._heads = {}  # noqa: SLF001
        return other

    async def __call__(
        self, redis: AnyRedis | Link, *keys_and_args: str | bytes | int, deadline: Seconds | None = None
    ) -> Any:
        """Call the script: its keys, then its arguments. The reply's strings are bytes.

        Args:
            redis: The user's client, or the link to it where the caller has that at hand.
            deadline: Seconds that the call may take; the client's when None.

        Raises:
            OutcomeUnknownError: The reply was lost and the script is not repeatable.
            redis.exceptions.RedisError: What redis-py raises.
        """
        link = redis if isinstance(redis, Link) else link_of(redis)
        lane = link.lease_lane(keys_and_args[0]) if self.lease else link.lane(keys_and_args[0])
        limit = lane.deadline if deadline is None else deadline_seconds(deadline)
        if link.on_event is not None:
            return await self._told(link.on_event, link, lane, limit, keys_and_args)
        if lane.full:
            limit = await lane.room(limit)
        packed = self._pack(keys_and_args)
        future = lane.submit(packed, limit)
        expires = lane.expires
        try:
            return await future
        except (NoScriptError, *RECOVERABLE) as error:
            return await self._again(error, link, lane, keys_and_args, expires)

    async def _told(
        self, hook: EventHook, link: Link, lane: Lane, limit: float, keys_and_args: tuple[str | bytes | int, ...]
    ) -> Any:
        """The same call, of which the hook is told."""
        started = link.loop.time()
        outcome: ScriptOutcome = "error"
        try:
            if lane.full:
                limit = await lane.room(limit)
            future = lane.submit(self._pack(keys_and_args), limit)
            expires = lane.expires
            try:
                reply, outcome = await future, "ok"
            except (NoScriptError, *RECOVERABLE) as error:
                reply = await self._again(error, link, lane, keys_and_args, expires)
                outcome = "reloaded" if isinstance(error, NoScriptError) else "ok"
        except OutcomeUnknownError:
            outcome = "unknown"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            emit(hook, ScriptCalled(script=self.name, outcome=outcome, duration=link.loop.time() - started))
        return reply

    def _pack(self, keys_and_args: tuple[str | bytes | int, ...]) -> bytes:
        """Pack the EVALSHA; what is the same in every call is packed once, which halves the cost."""
        count = len(keys_and_args)
        known = self._heads.get(count)
        if known is None:
            whole = pack_command(("EVALSHA", self.source.sha, self.keys, *("",) * count))
            known = self._heads[count] = whole[: whole.index(b"$0")], len(b"*%d\r\n" % count)
        head, start = known
        return head + pack_command(keys_and_args)[start:]

    async def _again(
        self, error: Exception, link: Link, lane: Lane, keys_and_args: tuple[str | bytes | int, ...], expires: float
    ) -> Any:
        """Send what may be sent again as EVAL, which no SCRIPT FLUSH and no failover can make fail for want of it."""
        packed = pack_command(("EVAL", self.source.text, self.keys, *keys_and_args))
        key = keys_and_args[0]
        reply = await link.recover(error, lane, Request(self.name, packed, expires, key, repeatable=self.repeatable))
        if isinstance(error, NoScriptError):
            forget(lane.submit(pack_command(("SCRIPT", "LOAD", self.source.text)), lane.deadline))
        return reply

    def queue(self, pipeline: Pipeline, *keys_and_args: str | bytes | int) -> None:
        """Queue the call in a user's pipeline or MULTI, as EVAL: a missing script there would fail half of it."""
        pipeline.eval(self.source.text.decode(), self.keys, *keys_and_args)
