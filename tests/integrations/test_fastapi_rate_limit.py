"""The dependency in real FastAPI applications."""

from __future__ import annotations

from typing import Any

import http_sf
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse
from redis.asyncio import Redis
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from aioredis_patterns import CompositeLimit, Decision, FixedWindow, Gcra, SlidingWindow
from aioredis_patterns.integrations.asgi import RateLimitMiddleware
from aioredis_patterns.integrations.fastapi import RateLimit
from tests.integrations.serving import serving

HOUR = 3600


def listed(response: httpx.Response, name: str) -> Any:
    return http_sf.parse(response.headers[name].encode(), tltype="list")


def application(*dependencies: Any, **options: Any) -> FastAPI:
    """An application whose every route has these dependencies."""
    app = FastAPI(**options)
    router = APIRouter(dependencies=list(dependencies))

    @router.get("/")
    async def hello() -> str:
        return "hello"

    @router.get("/own")
    async def own() -> PlainTextResponse:
        return PlainTextResponse("my own")

    @router.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    app.include_router(router)
    return app


async def test_a_route_is_limited(pipelined: Redis, name: str) -> None:
    """The fields come with each response, and the denial is a problem document, without anything set up."""
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    async with serving(application(Depends(RateLimit(limiter)))) as client:
        first, second = [await client.get("/") for _ in range(2)]
    assert (first.status_code, first.json()) == (200, "hello")
    assert listed(first, "ratelimit-policy") == [(name, {"q": 1, "w": HOUR})]
    assert listed(first, "ratelimit")[0][1]["r"] == 0
    assert "retry-after" not in first.headers
    assert (second.status_code, second.headers["content-type"]) == (429, "application/problem+json")
    assert second.json()["violated-policies"] == [name]
    assert listed(second, "ratelimit") == [(name, {"r": 0, "t": int(second.headers["retry-after"])})]


async def test_the_endpoint_may_have_the_decision(pipelined: Redis, name: str) -> None:
    """What the limit said is the value of the dependency."""
    app = FastAPI()
    limit = RateLimit(Gcra(pipelined, name, limit=5, period=HOUR))

    @app.get("/")
    async def left(decision: Decision = Depends(limit)) -> int:  # noqa: B008  # how FastAPI writes it
        return decision.remaining

    async with serving(app) as client:
        assert [(await client.get("/")).json() for _ in range(2)] == [4, 3]


async def test_everything_may_be_found_out_per_request(pipelined: Redis, name: str) -> None:
    """Limit, key, cost and exemption may each be a function of the request, async or not."""
    limiter = SlidingWindow(pipelined, name, limit=9, period=HOUR)

    async def key(request: Request) -> str | None:
        return request.headers.get("user")

    def cost(request: Request) -> int:
        return int(request.query_params.get("cost", 1))

    async def exempt(request: Request) -> bool:
        return "admin" in request.headers

    limit = RateLimit(lambda request: limiter, key=key, cost=cost, exempt=exempt)
    async with serving(application(Depends(limit))) as client:
        await client.get("/?cost=4", headers={"user": "ada"})
        await client.get("/", headers={"user": "ada", "admin": "yes"})
        await client.get("/?cost=2")
    assert [(await limiter.peek(subject)).remaining for subject in ("ada", "127.0.0.1")] == [5, 7]


async def test_several_limits_share_the_fields(pipelined: Redis, name: str) -> None:
    """Each limit of a route has its place in the same field, and the one that denies is named."""
    loose = FixedWindow(pipelined, f"{name}:loose", limit=9, period=60)
    tight = FixedWindow(pipelined, f"{name}:tight", limit=1, period=HOUR)
    async with serving(application(Depends(RateLimit(loose)), Depends(RateLimit(tight)))) as client:
        first, second = [await client.get("/") for _ in range(2)]
    assert [policy for policy, _ in listed(first, "ratelimit")] == [f"{name}:loose", f"{name}:tight"]
    assert (second.status_code, second.json()["violated-policies"]) == (429, [f"{name}:tight"])


async def test_a_composite_tells_of_all_its_parts(pipelined: Redis, name: str) -> None:
    """The policies are those of the parts, and the state is that of the part that binds."""
    user = FixedWindow(pipelined, f"{name}:user", limit=2, period=60)
    everybody = FixedWindow(pipelined, f"{name}:all", limit=100, period=HOUR)
    both = CompositeLimit(pipelined, name, [user, everybody])
    limit = RateLimit(both, key=lambda request: {f"{name}:user": request.headers["user"]})
    async with serving(application(Depends(limit))) as client:
        response = await client.get("/", headers={"user": "ada"})
    assert listed(response, "ratelimit-policy") == [
        (f"{name}:user", {"q": 2, "w": 60}),
        (f"{name}:all", {"q": 100, "w": HOUR}),
    ]
    assert [(policy, rest["r"]) for policy, rest in listed(response, "ratelimit")] == [(f"{name}:user", 1)]


async def test_a_response_of_the_endpoints_own_is_told_of_by_the_middleware(pipelined: Redis, name: str) -> None:
    """Where an endpoint makes its response itself, a middleware without a limit writes the fields."""
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    app = RateLimitMiddleware(application(Depends(RateLimit(limiter))))
    async with serving(app) as client:
        first, second = [await client.get("/own") for _ in range(2)]
    assert (first.text, listed(first, "ratelimit")[0][1]["r"]) == ("my own", 0)
    assert (second.status_code, len(second.headers.get_list("ratelimit"))) == (429, 1)


async def test_a_websocket_is_limited(pipelined: Redis, name: str) -> None:
    """A denied handshake is answered as a denied request is."""
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    async with serving(application(Depends(RateLimit(limiter)))) as client:
        url = f"ws://{client.base_url.netloc.decode()}/echo"
        async with open_websocket(url) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
        with pytest.raises(InvalidStatus) as denied:
            await open_websocket(url)
    assert denied.value.response.status_code == 429


async def test_a_handler_of_the_applications_goes_first(pipelined: Redis, name: str) -> None:
    """Who answers 429 in a way of his own is not overruled, and finds the fields in the exception."""

    async def mine(request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"mine": True}, error.status_code, error.headers)

    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    app = application(Depends(RateLimit(limiter, cost=2)), exception_handlers={429: mine})
    async with serving(app) as client:
        response = await client.get("/")
    assert (response.status_code, response.json(), "ratelimit" in response.headers) == (429, {"mine": True}, True)


async def test_a_mounted_application_is_limited(pipelined: Redis, name: str) -> None:
    """A dependency of a mounted application limits there, and answers as it does elsewhere."""
    app = FastAPI()
    app.mount("/below", application(Depends(RateLimit(FixedWindow(pipelined, name, limit=1, period=HOUR)))))
    async with serving(app) as client:
        assert [(await client.get("/below/")).status_code for _ in range(2)] == [200, 429]
