"""Requests with an Idempotency-Key in the laboratory: done once while their lease lasts, and answered alike."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, Final, final

from redis.asyncio import Redis

from aioredis_patterns.integrations.asgi import IdempotencyMiddleware
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.locks import pause

__all__ = ("LEASE", "WEB", "Repeating")

TASKS, KEYS = 3, 5
WINDOW = 5.0
"""Seconds that a key is in use: longer than the lease, so that the keys of the dead are taken over."""

LEASE, TTL = 2.0, 50.0

_CLOCKS: Final = 0.99
"""The part of a lease that is surely over for the server when it is over for the diaries."""

_DONE, _RUNNING = 201, 409


@final
class Repeating:
    """Clients that send requests with the same keys from several processes, to an application that does something."""

    name = "Idempotency"

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Send one request after the other."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            with diary.call(self.name, "effect", scope["path"], scope["lab.number"]) as effect:
                await asyncio.sleep(pause(rng))
            body = f"{diary.worker}:{effect.number}".encode()
            await send({"type": "http.response.start", "status": _DONE, "headers": []})
            await send({"type": "http.response.body", "body": body})

        served = IdempotencyMiddleware(app, redis=redis, name=self.name, ttl=TTL, lease=LEASE)
        await asyncio.gather(*[self._send(served, diary, rng, until) for _ in range(TASKS)])

    async def _send(
        self, served: IdempotencyMiddleware, diary: Diary, rng: random.Random, until: asyncio.Event
    ) -> None:
        while not until.is_set():
            path = f"/pay/{int(monotonic() / WINDOW)}-{rng.randrange(KEYS)}"
            with diary.call(self.name, "request", path) as call:
                call.result = await _answer(served, path, call.number)
            await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Effects that came again, answers that changed, and those that are none."""
        paths: dict[str, list[Call]] = defaultdict(list)
        for call in history:
            paths[call.arguments[0]].append(call)
        return [one for calls in paths.values() for one in (*_done_again(calls), *_odd(calls))]

    async def left(self, redis: Redis) -> list[str]:
        """Keys that outlive the answers."""
        return await orphans(redis, self.name)


async def _answer(served: IdempotencyMiddleware, path: str, number: int) -> list[Any]:
    """The status, whether it was given before, and what it says."""
    said: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"20 euros"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            said.extend([message["status"], any(name == b"idempotency-replayed" for name, _ in message["headers"])])
        else:
            said.append(message["body"].decode())

    headers = [(b"idempotency-key", path.encode())]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    await served({**scope, "lab.number": number}, receive, send)
    return said


def _done_again(calls: Sequence[Call]) -> Iterator[str]:
    """Effects that came while the lease of the one before held, or after its answer was seen to be kept."""
    asked = {(call.worker, call.number): call.begun for call in calls if call.operation == "request"}
    effects = [call for call in calls if call.operation == "effect"]
    kept = min((call.ended for call in calls if _is_replayed(call)), default=None)
    for index, effect in enumerate(effects):
        begun = asked[effect.worker, effect.arguments[1]]
        for before in effects[:index]:
            if effect.begun < asked[before.worker, before.arguments[1]] + LEASE * _CLOCKS:
                yield f"done again: {effect} after {before}"
        if kept is not None and kept < begun:
            yield f"done though its answer was kept: {effect}"


def _odd(calls: Sequence[Call]) -> Iterator[str]:
    """Answers of no effect, those that are neither yes nor later, and those that say another thing than before."""
    bodies = {f"{call.worker}:{call.number}" for call in calls if call.operation == "effect"}
    first: Call | None = None
    for call in calls:
        if call.operation != "request" or call.outcome != "ok":
            continue
        status, _, body = call.result
        if status not in (_DONE, _RUNNING) or (status == _DONE and body not in bodies):
            yield f"no answer to this: {call}"
        if _is_replayed(call):
            first = first or call
            if body != first.result[2]:
                yield f"another answer: {call} after {first}"


def _is_replayed(call: Call) -> bool:
    return call.operation == "request" and call.outcome == "ok" and call.result[1]


WEB = (Repeating(),)
