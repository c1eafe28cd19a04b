"""Acknowledgements of one client: those of one turn of the event loop are one call."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, final

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.link import Link
from aioredis_patterns.errors import OutcomeUnknownError

__all__ = ("Acks",)

_PARTS: Final = ("clock", "ready", "message", "hold", "wake", "again")
_ACK: Final = Script(__package__, "queue_ack", keys=6, fragments=_PARTS, lease=True)

_MOST_AT_ONCE: Final = 500
"""Tokens in one call, so that the server is never busy for long."""

_Batch = dict[asyncio.Future[bool], str]


@final
class Acks:
    """The acknowledgements of one client on one event loop, by the keys and the order of their queue."""

    __slots__ = ("_batches",)

    def __init__(self) -> None:
        self._batches: dict[tuple[str, ...], _Batch] = {}

    async def add(self, link: Link, keys: tuple[str, ...], token: str) -> bool:
        """Whether the token held its message, which has ended; a caller that is cancelled does not stop it."""
        batch = self._batches.get(keys)
        if batch is None or len(batch) == _MOST_AT_ONCE:
            batch = self._batches[keys] = {}
            # The task begins in the next turn; until then the batch is filled.
            sending = link.finish(self._send(link, keys, batch), "deliveries acknowledged")
            sending.add_done_callback(partial(self._sent, keys, batch))
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        batch[answer] = token
        return await answer

    async def _send(self, link: Link, keys: tuple[str, ...], batch: _Batch) -> None:
        self._close(keys, batch)
        try:
            held = await _ACK(link, *keys, *batch.values())
        except Exception as error:  # noqa: BLE001  # whatever it is, each caller is told
            for answer in batch:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for answer, one in zip(batch, held, strict=True):
                if not answer.done():
                    answer.set_result(bool(one))

    def _sent(self, keys: tuple[str, ...], batch: _Batch, _: asyncio.Task[None]) -> None:
        """Tell whoever still waits: the task was cancelled, perhaps before it had begun."""
        self._close(keys, batch)
        for answer in batch:
            if not answer.done():
                answer.set_exception(OutcomeUnknownError(_ACK.name, "it was cancelled"))

    def _close(self, keys: tuple[str, ...], batch: _Batch) -> None:
        if self._batches.get(keys) is batch:
            del self._batches[keys]
