"""A bare command of the server, called as a script is: for what needs no decision."""

from __future__ import annotations

from typing import Any, final

from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import RECOVERABLE, Request
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.types import AnyRedis

__all__ = ("Command",)


@final
class Command:
    """One command whose first argument is its key. The reply's strings are bytes.

    Args:
        name: What the server calls it.
        repeatable: Executing it twice does no harm, so a call whose reply was lost is repeated within its deadline.
            Without it such a call raises `OutcomeUnknownError`.
    """

    __slots__ = ("name", "repeatable")

    def __init__(self, name: str, *, repeatable: bool = False) -> None:
        self.name = name
        self.repeatable = repeatable

    async def __call__(self, redis: AnyRedis, key: str, *arguments: str | bytes | int) -> Any:
        """Call it on the client's shared connection.

        Raises:
            OutcomeUnknownError: The reply was lost and the command is not repeatable.
            redis.exceptions.RedisError: What redis-py raises.
        """
        link = link_of(redis)
        lane = link.lane(key)
        limit = lane.deadline
        if lane.full:
            limit = await lane.room(limit)
        packed = pack_command((self.name, key, *arguments))
        future = lane.submit(packed, limit)
        expires = lane.expires
        try:
            return await future
        except RECOVERABLE as error:
            request = Request(self.name, packed, expires, key, repeatable=self.repeatable)
            return await link.recover(error, lane, request)
