"""Litestar: the four middlewares around its applications, and inside of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.middleware import DefineMiddleware
from redis.asyncio import Redis
from websockets.asyncio.client import connect as open_websocket

from aioredis_patterns import Cache, FixedWindow
from aioredis_patterns.codecs import Raw
from aioredis_patterns.integrations.asgi import (
    IdempotencyMiddleware,
    RateLimitMiddleware,
    ResponseCacheMiddleware,
    SessionMiddleware,
)
from aioredis_patterns.sessions import SessionStore
from tests.integrations.serving import calling, serving

HOUR = 3600


@get("/")
async def visits(request: Request[Any, Any, Any]) -> list[Any]:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return [request.session.user_id, request.session["visits"]]


@get("/login")
async def login(request: Request[Any, Any, Any]) -> str:
    await request.session.login("ada")  # type: ignore[attr-defined]
    return "in"


@websocket("/listen")
async def listen(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text(json.dumps([socket.session.user_id, dict(socket.session)]))  # type: ignore[attr-defined]
    await socket.close()


@pytest.fixture(params=["around", "inside"])
def app(request: pytest.FixtureRequest, pipelined: Redis, name: str) -> Any:
    """An application with sessions, which are loaded before Litestar or by it."""
    store = SessionStore(pipelined, name=name)
    options: dict[str, Any] = {"store": store, "secure": False, "cookie": "session"}
    handlers: list[Any] = [visits, login, listen]
    if request.param == "around":
        return SessionMiddleware(Litestar(handlers), **options)
    return Litestar(handlers, middleware=[DefineMiddleware(SessionMiddleware, **options)])


async def test_the_session_is_the_requests(app: Any) -> None:
    """`request.session` is the visitor's, from one request to the next, and knows who has logged in."""
    async with calling(app) as client:
        assert [(await client.get("/")).json() for _ in range(2)] == [[None, 1], [None, 2]]
        await client.get("/login")
        assert (await client.get("/")).json() == ["ada", 3]


async def test_a_websocket_reads_the_session(app: Any) -> None:
    """What a request has put into the session, the visitor's WebSocket finds there."""
    async with serving(app) as client:
        await client.get("/login")
        await client.get("/")
        cookie = f"session={client.cookies['session']}"
        url = f"ws://{client.base_url.netloc.decode()}/listen"
        async with open_websocket(url, additional_headers={"Cookie": cookie}) as socket:
            assert json.loads(await socket.recv()) == ["ada", {"visits": 1}]


async def test_requests_are_limited(pipelined: Redis, name: str) -> None:
    """The limit holds for a Litestar application, and tells when to come back."""
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    for app in (
        RateLimitMiddleware(Litestar([hello]), limiter=limiter, key=lambda scope: "around"),
        Litestar([hello], middleware=[DefineMiddleware(RateLimitMiddleware, limiter=limiter, key=inside)]),
    ):
        async with calling(app) as client:
            responses = [await client.get("/free") for _ in range(2)]
        assert [response.status_code for response in responses] == [200, 429]
        assert (
            0 < int(responses[1].headers["Retry-After"]) <= HOUR + 1
        )  # rounded up, and a window may be a millisecond longer


def inside(scope: Any) -> str:
    return "inside"


@get("/free")
async def hello() -> str:
    return "hello"


async def test_a_request_is_handled_once(pipelined: Redis, name: str) -> None:
    """A request that comes again with its `Idempotency-Key` has the response of the first, which is handled alone."""
    orders: list[int] = []

    @post("/orders")
    async def order() -> int:
        orders.append(1)
        return len(orders)

    async with calling(IdempotencyMiddleware(Litestar([order]), redis=pipelined, name=name)) as client:
        answers = [await client.post("/orders", headers={"Idempotency-Key": '"a"'}) for _ in range(2)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(201, 1), (201, 1)]
    assert orders == [1]


async def test_a_page_is_made_once(pipelined: Redis, name: str) -> None:
    """A page for everybody is made once, and has an ETag."""
    made: list[int] = []

    @get("/page")
    async def page() -> str:
        made.append(1)
        return f"page {len(made)}"

    cache = Cache(pipelined, name, ttl=60, codec=Raw())
    async with calling(ResponseCacheMiddleware(Litestar([page]), cache=cache)) as client:
        first, second = [await client.get("/page") for _ in range(2)]
        assert first.text == second.text == "page 1"
        unchanged = await client.get("/page", headers={"If-None-Match": second.headers["ETag"]})
    assert (unchanged.status_code, made) == (304, [1])
