"""`PipelinedRedis`: redis-py's asyncio client, with concurrent commands on one shared connection."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Self, cast

from redis.asyncio import Redis
from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.exceptions import ResponseError

from aioredis_patterns._core.durations import deadline_seconds
from aioredis_patterns.types import EventHook, Seconds

from .apart import keep_apart
from .attach import link_of
from .lane import Lane
from .link import DEADLINE, RECOVERABLE, Request
from .packing import packer_for
from .pipeline import OncePipeline
from .private import execute_private
from .redis_py import careful_options
from .routes import READ, WORDS, find_flags, key_of

__all__ = ("PipelinedRedis", "find_callback", "shaped")

find_callback: Final[Callable[[Any, str], Any]] = dict.get
"""Past the upper-casing of redis-py's dictionary: the names that get here are upper case."""


class PipelinedRedis(Redis):
    """redis-py's asyncio client, with concurrent commands on one shared connection.

    Every command, type and option of `redis.asyncio.Redis` works. Commands that many tasks send at the same time
    leave in one write and come back in one read, which is several times faster than a connection for each; a
    cancelled command costs no reconnect; nothing is ever sent twice behind the caller's back.

    Promise: a command that was not written yet waits for the reconnect; one that was written and lost its reply is
    repeated only when it reads, and raises `OutcomeUnknownError` otherwise. Every call ends within its deadline. Under
    another event loop, and in a forked child, it opens connections of its own.

    Limit of the promise: `pipeline()`, `pubsub()`, `monitor()`, blocking reads and what changes a connection's state
    take a private connection of the pool, as in redis-py.

    Cost: one connection for all commands, one round trip a command.

    Args:
        deadline: Seconds that a call may take.
        lanes: How many connections share the commands; the commands of one key always take the same.
        on_event: Told `ScriptCalled` for each script that a pattern calls, and `Reconnected`.
        redis_py_options: Everything that `redis.asyncio.Redis` takes.

    Example:
        >>> from asyncio import gather
        >>> async with PipelinedRedis.from_url("redis://localhost:6379/0", decode_responses=True) as redis:
        ...     await redis.set("greeting", "hello")
        ...     await gather(redis.get("greeting"), redis.strlen("greeting"))  # one write, one read
        True
        ['hello', 5]
    """

    def __init__(
        self,
        *,
        deadline: Seconds = DEADLINE,
        lanes: int = 1,
        on_event: EventHook | None = None,
        **redis_py_options: Any,
    ) -> None:
        if redis_py_options.get("connection_pool") is None:
            redis_py_options = careful_options() | redis_py_options
        super().__init__(**redis_py_options)
        keep_apart(self.connection_pool)
        self._settle(deadline, lanes, on_event)

    @classmethod
    def from_url(  # type: ignore[override]
        cls,
        url: str,
        *,
        deadline: Seconds = DEADLINE,
        lanes: int = 1,
        on_event: EventHook | None = None,
        **redis_py_options: Any,
    ) -> Self:
        """As `redis.asyncio.Redis.from_url`; `connect` takes more forms of URL, and refuses a wrong one at once."""
        redis = cast(Self, super().from_url(url, **(careful_options() | redis_py_options)))
        redis._settle(deadline, lanes, on_event)
        return redis

    def _settle(self, deadline: Seconds, lanes: int, on_event: EventHook | None) -> None:
        if not isinstance(lanes, int):
            raise TypeError(f"lanes must be a whole number, not {lanes!r}")
        if lanes < 1:
            raise ValueError(f"lanes must be 1 or more, not {lanes!r}")
        self.deadline = deadline_seconds(deadline)
        self.lanes = lanes
        self.on_event = on_event
        self._route = _Route(self)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command and give its reply, as redis-py would."""
        mine = self._route
        name = args[0]
        flags = find_flags(name)
        if flags is None or mine.private:
            return await execute_private(self, args, options, self.deadline)
        if flags & WORDS:
            args = (*name.split(), *args[1:])
        lane = mine.lane
        if lane is None or not lane.home.here():
            lane = mine.find_lane(self, args)
        limit = await lane.room(mine.deadline) if lane.full else mine.deadline
        packed = mine.pack(args)
        decode = mine.decodes and NEVER_DECODE not in options
        future = lane.submit(packed, limit, decode)
        expires = lane.expires
        try:
            reply = await future
        except RECOVERABLE as error:
            request = Request(name, packed, expires, key_of(args), decode=decode, repeatable=bool(flags & READ))
            reply = await link_of(self).recover(error, lane, request)
        except ResponseError:
            if EMPTY_RESPONSE in options:
                return options[EMPTY_RESPONSE]
            raise
        callback = find_callback(mine.callbacks, name)
        return reply if callback is None else await shaped(callback, reply, options)

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        """Call a script by its SHA1: `execute_command`, without what EVALSHA has no use for."""
        mine = self._route
        lane = mine.lane
        if lane is None or lane.full or mine.private or not lane.home.here():
            return await self.execute_command("EVALSHA", sha, numkeys, *keys_and_args)
        packed = mine.pack(("EVALSHA", sha, numkeys, *keys_and_args))
        future = lane.submit(packed, mine.deadline, mine.decodes)
        expires = lane.expires
        try:
            return await future
        except RECOVERABLE as error:
            key = keys_and_args[0] if numkeys else ""
            return await link_of(self).recover(error, lane, Request("EVALSHA", packed, expires, key, mine.decodes))

    def client(self) -> Redis:
        """A client with a connection of the pool to itself, and this one's deadline."""
        return type(self)(connection_pool=self.connection_pool, single_connection_client=True, deadline=self.deadline)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> OncePipeline:
        """A pipeline on a private connection, executed at most once and within the deadline."""
        pipeline = OncePipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.deadline = self.deadline
        return pipeline


class _Route:
    """What a command of one client needs to know, in slots: on the client itself each look-up would cost a hash."""

    __slots__ = ("callbacks", "deadline", "decodes", "lane", "pack", "private")

    def __init__(self, redis: PipelinedRedis) -> None:
        encoder = redis.connection_pool.get_encoder()
        self.callbacks = redis.response_callbacks
        self.deadline = redis.deadline
        self.decodes: bool = encoder.decode_responses
        self.lane: Lane | None = None  # of the event loop that ran last, when there is but one
        self.pack = packer_for(encoder)
        self.private = redis.single_connection_client

    def find_lane(self, redis: PipelinedRedis, args: tuple[Any, ...]) -> Lane:
        link = link_of(redis)
        if len(link.lanes) != 1:
            return link.lane(key_of(args))
        self.lane = link.lanes[0]
        return self.lane


async def shaped(callback: Any, reply: Any, options: dict[str, Any]) -> Any:
    """The reply as redis-py's own callback for the command makes it."""
    for internal in (NEVER_DECODE, EMPTY_RESPONSE, "keys"):
        options.pop(internal, None)
    shaped = callback(reply, **options)
    return await shaped if inspect.isawaitable(shaped) else shaped
