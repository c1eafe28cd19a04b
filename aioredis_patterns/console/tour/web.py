"""The tour's step of the web."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping, Sequence
from itertools import chain
from secrets import token_hex
from typing import Any, Final

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.integrations.asgi import IdempotencyMiddleware

from .crew import PROCESSES
from .step import Check, Outcome, Stage, Step

__all__ = ("STEP", "judge", "order")

_ORDERS: Final = 100
_TTL: Final = 60


async def _run(stage: Stage) -> Outcome:
    told = await stage.crew.do(f"{__name__}:order", _ORDERS)
    made = list(chain.from_iterable(made for made, _ in told))
    figures = f"{_ORDERS} orders sent by {PROCESSES} processes each, {len(made)} made"
    return Outcome(figures, judge(made, [answers for _, answers in told], _ORDERS))


async def order(redis: PipelinedRedis, prefix: str, orders: int) -> tuple[list[int], list[str]]:
    """In each process: send all orders until they are answered; what was made here, and the answers."""
    made: list[int] = []

    async def shop(_: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        made.append(int((await receive())["body"]))
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": token_hex(8).encode()})

    app = IdempotencyMiddleware(shop, redis=redis, name="web", ttl=_TTL, prefix=prefix)
    return made, await asyncio.gather(*(_answer(app, number) for number in range(orders)))


async def _answer(app: IdempotencyMiddleware, number: int) -> str:
    """What the application answers, when nobody else is being answered any more."""
    headers = [(b"idempotency-key", b"%d" % number)]
    scope = {"type": "http", "method": "POST", "path": "/orders", "query_string": b"", "headers": headers}
    said: dict[str, Any] = {"status": 409}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"%d" % number}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.update(message)

    while said["status"] == 409:
        await app(scope, receive, send)
    return str(said["body"], "ascii")


def judge(made: Sequence[int], answers: Sequence[Sequence[str]], orders: int) -> tuple[Check, ...]:
    """Whether each order was made once, and everybody was told the same."""
    return (
        Check(f"each of {orders} orders is made once", sorted(made) == [*range(orders)]),
        Check("whoever sends it gets the same answer", len({tuple(each) for each in answers}) == 1),
    )


STEP: Final = Step(
    "IdempotencyMiddleware",
    f"{PROCESSES} processes send the same {_ORDERS} orders to a web application, each with its Idempotency-Key",
    "an order that is sent again is answered again, and not made again",
    _run,
)
