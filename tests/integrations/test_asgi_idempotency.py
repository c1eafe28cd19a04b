"""IdempotencyMiddleware: what is sent again is answered again, and done once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.integrations.asgi import IdempotencyMiddleware
from tests.integrations.serving import Ended, behind_a_middleware, calling, serving
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually

REPLAYED = "idempotency-replayed"


class Shop:
    """An application that remembers what it has done."""

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def order(self, request: Request) -> Response:
        self.done.append(await request.body())
        await self.go_on.wait()
        return JSONResponse({"order": len(self.done)}, 201, {"Set-Cookie": "a=b", "X-Number": str(len(self.done))})

    async def answer(self, request: Request) -> Response:
        self.done.append(await request.body())
        status = int(request.path_params["status"])
        return PlainTextResponse(str(len(self.done)), status)

    async def fail(self, request: Request) -> Response:
        self.done.append(await request.body())
        raise ValueError("the application is broken")

    async def stream(self, request: Request) -> Response:
        self.done.append(await request.body())
        return StreamingResponse(iter([b"a", b"b", b"c" * int(request.query_params.get("more", 1))]))

    async def slow(self, request: Request) -> Response:
        self.done.append(await request.body())

        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            await self.go_on.wait()

        return StreamingResponse(parts())

    async def later(self, request: Request) -> Response:
        return PlainTextResponse("soon", background=BackgroundTask(self.go_on.wait))

    def application(self, redis: Redis, name: str, **options: Any) -> IdempotencyMiddleware:
        routes = [
            Route("/order", self.order, methods=["POST", "PUT", "PATCH"]),
            Route("/answer/{status}", self.answer, methods=["POST"]),
            Route("/fail", self.fail, methods=["POST"]),
            Route("/stream", self.stream, methods=["POST"]),
            Route("/later", self.later, methods=["POST"]),
        ]
        return IdempotencyMiddleware(Starlette(routes=routes), redis=redis, name=name, **options)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def key(text: str = "k") -> dict[str, str]:
    return {"Idempotency-Key": text}


async def order(client: httpx.AsyncClient, body: bytes = b"tea", **headers: str) -> httpx.Response:
    return await client.post("/order", content=body, headers={**key(), **headers})


async def test_a_repeated_request_is_answered_again_and_done_once(redis: Redis, name: str, shop: Shop) -> None:
    """The second answer is the first, marked and without its cookies, whichever client of Redis the middleware has."""
    async with serving(shop.application(redis, name)) as client:
        first, second = [await order(client) for _ in range(2)]
    assert shop.done == [b"tea"]
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, {"order": 1})
    assert (first.headers["x-number"], second.headers["x-number"]) == ("1", "1")
    assert ("set-cookie" in first.headers, "set-cookie" in second.headers) == (True, False)
    assert (REPLAYED in first.headers, second.headers[REPLAYED]) == (False, "true")


async def test_an_answer_is_kept_for_its_time(pipelined: Redis, name: str, shop: Shop) -> None:
    """What is kept of a request expires, and nothing of the key or the body can be read in Redis."""
    async with calling(shop.application(pipelined, name, ttl=60)) as client:
        await order(client, b"a secret body", **key("a-secret-key"))
    (record,) = [each async for each in pipelined.scan_iter(f"*{name}*")]
    assert 55 < await pipelined.ttl(record) <= 60
    assert b"secret" not in record + b"".join((await pipelined.hgetall(record)).values())


@pytest.mark.parametrize("foreign", [b"", b"\xff", b"[]", b"[7, 200, []]\n", b'[{"whole": true}, "x", 7]'])
async def test_an_answer_that_makes_no_sense_is_not_made_again(
    pipelined: Redis, name: str, shop: Shop, foreign: bytes
) -> None:
    """Where the kept answer is overwritten by something else, the request is told so and its effect is not repeated."""
    async with calling(shop.application(pipelined, name)) as client:
        await order(client)
        (record,) = [each async for each in pipelined.scan_iter(f"*{name}*")]
        await pipelined.hset(record, "answer", foreign)
        assert (await order(client)).status_code == 409
    assert len(shop.done) == 1


async def test_no_trailers_are_asked_for(pipelined: Redis, name: str) -> None:
    """An application is not told of a server's trailers or of its way with files, of which there would be no copy."""
    seen: list[set[str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(set(scope["extensions"]))
        await PlainTextResponse("done")(scope, receive, send)

    messages: list[Any] = []
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
    scope |= {"headers": [(b"idempotency-key", b"one")]}
    scope |= {"extensions": {"http.response.trailers": {}, "http.response.pathsend": {}, "tls": {}}}

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        messages.append(message)

    await IdempotencyMiddleware(app, redis=pipelined, name=name)(scope, receive, send)
    assert seen == [{"tls"}]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/order", key("another")),
        ("PATCH", "/order", {}),
        ("POST", "/answer/200", {}),
        ("POST", "/order", {"Authorization": "Bearer somebody-else"}),
    ],
)
async def test_a_key_belongs_to_its_principal_its_method_and_its_path(
    pipelined: Redis, name: str, shop: Shop, method: str, path: str, headers: dict[str, str]
) -> None:
    """Where any of these differs, the same key is another one."""
    async with calling(shop.application(pipelined, name)) as client:
        await order(client)
        second = await client.request(method, path, content=b"tea", headers={**key(), **headers})
    assert (len(shop.done), REPLAYED in second.headers) == (2, False)


async def test_the_principal_may_be_found_out_per_request(pipelined: Redis, name: str, shop: Shop) -> None:
    """A function of the scope tells users apart, and takes one with changing tokens for one."""

    async def user(scope: Any) -> str | None:
        return dict(scope["headers"]).get(b"user", b"").decode() or None

    async with calling(shop.application(pipelined, name, principal=user)) as client:
        answers = [
            await order(client, user="ada", authorization="one"),
            await order(client, user="ada", authorization="two"),
            await order(client, user="bob"),
            await order(client),
        ]
    assert [REPLAYED in answer.headers for answer in answers] == [False, True, False, False]


@pytest.mark.parametrize("other", ["body", "query", "type"])
async def test_a_key_with_another_payload_is_refused(pipelined: Redis, name: str, shop: Shop, other: str) -> None:
    """The same key with another body, query or type of content is a mistake of the client's, and gets 422."""
    async with calling(shop.application(pipelined, name)) as client:
        await order(client)
        second = await client.post(
            "/order",
            content=b"milk" if other == "body" else b"tea",
            params={"n": 2} if other == "query" else {},
            headers={**key(), **({"Content-Type": "text/plain"} if other == "type" else {})},
        )
    assert (second.status_code, second.headers["content-type"]) == (422, "application/problem+json")
    assert (second.json()["title"], second.json()["status"]) == (HTTPStatus(422).phrase, 422)
    assert len(shop.done) == 1


async def test_a_repetition_during_the_request_is_told_to_come_back(pipelined: Redis, name: str, shop: Shop) -> None:
    """While the first is being done, the second gets 409 and a time, and once it is done, its answer."""
    shop.go_on.clear()
    async with calling(shop.application(pipelined, name)) as client:
        first = asyncio.create_task(order(client))
        await eventually(lambda: shop.done)
        second = await order(client)
        shop.go_on.set()
        await first
        third = await order(client)
    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    assert (third.status_code, REPLAYED in third.headers, len(shop.done)) == (201, True, 1)


async def test_of_many_at_once_one_is_done(pipelined: Redis, name: str, shop: Shop) -> None:
    """Twenty that come together make one order."""
    async with calling(shop.application(pipelined, name)) as client:
        answers = await asyncio.gather(*(order(client) for _ in range(20)))
    assert len(shop.done) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}


@pytest.mark.parametrize("required", [True, False])
async def test_without_a_key(pipelined: Redis, name: str, shop: Shop, required: bool) -> None:
    """A request without a key is refused where one is required, and done each time where not."""
    async with calling(shop.application(pipelined, name, required=required)) as client:
        answers = [await client.post("/order") for _ in range(2)]
        put = await client.put("/order")
    assert [answer.status_code for answer in answers] == ([400, 400] if required else [201, 201])
    assert (put.status_code, len(shop.done)) == (201, 1 if required else 3)


@pytest.mark.parametrize("text", ['""', "x" * 256, "k\tk", ""])
async def test_what_is_no_key_is_refused(pipelined: Redis, name: str, shop: Shop, text: str) -> None:
    """An empty key, one too long and one of other characters get 400."""
    async with calling(shop.application(pipelined, name)) as client:
        assert (await order(client, **key(text))).status_code == 400
    assert not shop.done


async def test_a_key_may_stand_in_quotes(pipelined: Redis, name: str, shop: Shop) -> None:
    """The standard's form and the bare one are the same key; two keys are none."""
    async with calling(shop.application(pipelined, name)) as client:
        answers = [await order(client, **key(text)) for text in ('"k"', "k")]
        twice = await client.post("/order", headers=[("Idempotency-Key", "k"), ("Idempotency-Key", "l")])
    assert [REPLAYED in answer.headers for answer in answers] == [False, True]
    assert twice.status_code == 400


@pytest.mark.parametrize(("status", "kept"), [(404, True), (303, True), (429, False), (500, False), (503, False)])
async def test_what_may_go_better_next_time_is_not_kept(
    pipelined: Redis, name: str, shop: Shop, status: int, kept: bool
) -> None:
    """An answer that is the server's fault, or says to come back, frees the key; any other is the answer."""
    async with calling(shop.application(pipelined, name)) as client:
        answers = [await client.post(f"/answer/{status}", headers=key()) for _ in range(2)]
    assert [answer.text for answer in answers] == (["1", "1"] if kept else ["1", "2"])


async def test_an_exception_frees_the_key(pipelined: Redis, name: str, shop: Shop) -> None:
    """After the application has failed, the request may be repeated at once."""
    transport = httpx.ASGITransport(shop.application(pipelined, name), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://example.com") as client:
        answers = [await client.post("/fail", headers=key()) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 500]
    assert len(shop.done) == 2


async def test_a_request_that_is_cancelled_frees_the_key(pipelined: Redis, name: str, shop: Shop) -> None:
    """Whatever ends the application before it has answered, the key is free when it has ended."""
    shop.go_on.clear()
    async with calling(shop.application(pipelined, name)) as client:
        first = asyncio.create_task(order(client))
        await eventually(lambda: shop.done)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        shop.go_on.set()
        assert (await order(client)).status_code == 201
    assert len(shop.done) == 2


async def test_a_long_request_keeps_its_key(pipelined: Redis, name: str, shop: Shop) -> None:
    """While the application runs the lease is renewed, so nobody else begins, and it never is longer than it was."""
    shop.go_on.clear()
    async with calling(shop.application(pipelined, name, lease=3)) as client:
        first = asyncio.create_task(order(client))
        await eventually(lambda: shop.done)
        (record,) = [each async for each in pipelined.scan_iter(f"*{name}*")]
        left_ms = [await pipelined.pttl(record)]
        while sum(later > earlier for earlier, later in pairwise(left_ms)) < 2:
            left_ms.append(await pipelined.pttl(record))
            assert 0 < left_ms[-1] <= 3000
        assert (await order(client)).status_code == 409
        shop.go_on.set()
        assert (await first).status_code == 201
    assert len(shop.done) == 1


async def test_a_renewal_that_is_late_shortens_no_answer(pipelined: Redis, name: str, shop: Shop) -> None:
    """A renewal that was on its way when the answer was kept leaves it for as long as it was to be."""
    shop.go_on.clear()
    async with calling(shop.application(pipelined, name, lease=3)) as client:
        first = asyncio.create_task(order(client))
        await eventually(lambda: shop.done)
        (record,) = [each async for each in pipelined.scan_iter(f"*{name}*")]
        await pipelined.hset(record, "answer", "kept")
        await pipelined.pexpire(record, 60_000)
        renewed = await scripts(pipelined)
        while await scripts(pipelined) == renewed:  # noqa: ASYNC110  # the state is the server's
            await asyncio.sleep(0.01)
        assert await pipelined.pttl(record) > 30_000
        shop.go_on.set()
        await first


async def scripts(redis: Redis) -> int:
    """How many scripts the server has been asked for."""
    stats = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


async def test_a_crash_frees_the_key(pipelined: Redis, name: str, shop: Shop) -> None:
    """When a lease has ended another request begins, and what the one before answers then is not kept."""
    shop.go_on.clear()
    async with calling(shop.application(pipelined, name)) as client:
        first = asyncio.create_task(order(client))
        await eventually(lambda: shop.done)
        (record,) = [each async for each in pipelined.scan_iter(f"*{name}*")]
        await pipelined.delete(record)  # as the end of a lease does
        second = asyncio.create_task(order(client))
        await eventually(lambda: len(shop.done) == 2)
        token = await pipelined.hget(record, "token")
        shop.go_on.set()
        await asyncio.gather(first, second)
        assert await pipelined.hget(record, "token") == token
        third = await order(client)
    assert third.headers[REPLAYED] == "true"
    assert len(shop.done) == 2


async def test_an_answer_that_streams_is_kept_whole(pipelined: Redis, name: str, shop: Shop) -> None:
    """A body in parts is repeated as one."""
    async with calling(shop.application(pipelined, name)) as client:
        answers = [await client.post("/stream", headers=key()) for _ in range(2)]
    assert [answer.text for answer in answers] == ["abc", "abc"]
    assert len(shop.done) == 1


async def test_what_is_too_long_is_bounded(pipelined: Redis, name: str, shop: Shop) -> None:
    """A body that is too long gets 413, and of an answer that is, a repetition learns that it was given."""
    async with calling(shop.application(pipelined, name, max_body=100)) as client:
        assert (await order(client, b"x" * 101)).status_code == 413
        first, second = [await client.post("/stream?more=200", headers=key()) for _ in range(2)]
    assert first.text == "ab" + "c" * 200
    assert (second.status_code, second.headers[REPLAYED]) == (409, "true")
    assert len(shop.done) == 1


async def test_half_a_body_is_never_served(pipelined: Redis, name: str, shop: Shop) -> None:
    """When the client leaves before it has sent all of the body, the application does not see it."""
    messages = [{"type": "http.request", "body": b"20", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/order", "query_string": b""}
    scope["headers"] = [(b"idempotency-key", b"k")]
    await shop.application(pipelined, name)(scope, receive, send)
    assert not shop.done


async def test_an_answer_that_was_broken_off_is_not_repeated(pipelined: Redis, name: str, shop: Shop) -> None:
    """Where a client left in the middle of a stream, a repetition learns that it was done, and gets no half answer."""
    app = Ended(
        IdempotencyMiddleware(
            behind_a_middleware(Route("/slow", shop.slow, methods=["POST"])), redis=pipelined, name=name
        )
    )
    shop.go_on.clear()
    async with serving(app) as client:
        async with client.stream("POST", "/slow", headers=key()) as answer:
            assert await anext(answer.aiter_bytes()) == b"half"
        await app.ended.wait()
        again = await client.post("/slow", headers=key())
    assert (again.status_code, again.headers[REPLAYED]) == (409, "true")
    assert len(shop.done) == 1


async def test_work_behind_the_answer_does_not_hold_it_up(pipelined: Redis, name: str, shop: Shop) -> None:
    """A client has its answer, and another a repetition of it, before a background task has ended."""
    shop.go_on.clear()
    async with serving(shop.application(pipelined, name)) as client:
        answers = [await client.post("/later", headers=key()) for _ in range(2)]
        shop.go_on.set()
    assert [REPLAYED in answer.headers for answer in answers] == [False, True]


async def test_a_lost_reply_does_nothing_twice(own_server: EmbeddedServer, name: str, shop: Shop) -> None:
    """When the connection breaks as the key is taken and as the answer is kept, the request is done and kept once."""
    async with FaultProxy(str(own_server.host), int(own_server.port or 0)) as proxy, connect(proxy.url) as redis:
        proxy.add(Fault("cut_after", "EVALSHA", times=2))
        async with calling(shop.application(redis, name)) as client:
            answers = [await order(client) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert (len(shop.done), REPLAYED in answers[1].headers) == (1, True)
