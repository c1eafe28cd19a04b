"""Claiming: asks for messages, waits for them, and hands back what nobody is there to take any more."""

from __future__ import annotations

import asyncio
import random
import secrets
from time import monotonic
from typing import Any, Final, Generic, TypeVar, final

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.client.subscriptions import Bell
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import Codec

from ._waiting import Waiting
from .delivery import Delivery, Place, hand_back, quietly
from .message import unpack

__all__ = ("Claiming",)

T = TypeVar("T")

_PARTS: Final = ("clock", "ready", "message", "hold", "wake", "again", "overdue", "stand")
_CLAIM: Final = Script(__package__, "queue_claim", keys=7, fragments=_PARTS, repeatable=True, lease=True)

_SELDOM, _OFTEN = 15.0, 5.0
"""Seconds after which an idle consumer looks for itself: no lease is recovered later than that after its end."""


@final
class Claiming(Generic[T]):
    """Claims messages of one queue.

    Args:
        place: Of the queue.
        codec: Reads the payloads.
    """

    __slots__ = ("_codec", "_place", "_recheck")

    def __init__(self, place: Place, codec: Codec[T]) -> None:
        self._place, self._codec = place, codec
        # A lease that begins right after a look is seen by the next one before it ends, or soon after.
        self._recheck = min(max(place.visibility_ms / 1000, _OFTEN), _SELDOM)

    async def claim(self, count: int, limit: float | None) -> list[Delivery[T]]:
        """Up to so many messages; none when there was none for so many seconds."""
        link = link_of(self._place.redis)
        if limit == 0 or self._place.ready not in link.companion(Waiting):
            found, _ = await self._ask(link, count, "")
            if found or limit == 0:
                return found
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                return await self._wait(link, count)
        except TimeoutError:
            if not timer.expired():
                raise
            return []

    async def _wait(self, link: Link, count: int) -> list[Delivery[T]]:
        ready, inbox, bell = self._place.ready, link.subscriptions.inbox, Bell()
        waiting = link.companion(Waiting)
        async with waiting.turn(ready), link.subscriptions.listen(inbox, ready, bell):
            try:
                while True:
                    found, pause = await self._ask(link, count, inbox)
                    if found:
                        return found
                    await bell.wait(pause)
            except BaseException:
                if waiting.length(ready) == 1:
                    link.finish(quietly(hand_back(self._place, link, inbox=inbox)), "a queue is waited for no more")
                raise

    async def _ask(self, link: Link, count: int, inbox: str) -> tuple[list[Delivery[T]], float]:
        """Messages, and the seconds after which to ask again. A call that is cancelled leaves no message leased."""
        place = self._place
        keys = (place.ready, place.delayed, place.leased, place.dead, place.messages, place.index, place.waiters)
        terms = (place.visibility_ms, place.max_deliveries, place.order)
        while True:
            token, sent = secrets.token_hex(8), monotonic()
            try:
                due_ms, *parts = await _CLAIM(link, *keys, token, count, *terms, inbox)
                found = await self._read(token, parts, sent)
            except BaseException:
                tokens = [f"{token}:{number}" for number in range(1, count + 1)]
                link.finish(quietly(hand_back(place, link, *tokens)), "a claim is handed back")
                raise
            if found or not parts:  # else none of them could be read, and others may be there
                return found, self._pause(due_ms)

    def _pause(self, due_ms: int) -> float:
        soon = self._recheck * random.uniform(0.5, 1)  # noqa: S311
        return soon if due_ms < 0 else min(due_ms / 1000 + 0.001, soon)

    async def _read(self, token: str, parts: list[Any], sent: float) -> list[Delivery[T]]:
        found = []
        for number, at in enumerate(range(0, len(parts), 3), 1):
            id_, attempt, record = parts[at : at + 3]
            delivery: Delivery[T] = Delivery(self._place, f"{token}:{number}", id_.decode(), int(attempt), sent)
            try:
                delivery.headers, body = unpack(record)
                delivery.payload = self._codec.decode(body)
            except CodecError as error:
                await delivery.reject(f"undecodable: {error}")
            else:
                found.append(delivery)
        return found
