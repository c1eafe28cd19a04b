"""The four middlewares on a cluster: what each keeps lies where one script reaches it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from aioredis_patterns import Cache, FixedWindow
from aioredis_patterns.codecs import Raw
from aioredis_patterns.integrations.asgi import (
    IdempotencyMiddleware,
    RateLimitMiddleware,
    ResponseCacheMiddleware,
    SessionMiddleware,
)
from aioredis_patterns.sessions import SessionStore
from tests.integrations.serving import calling


@pytest.fixture
def redis(cluster_client: Redis) -> Redis:
    """A client of each kind that users build, of a cluster."""
    return cluster_client


async def login(request: Request) -> Response:
    await request.session.login(request.query_params["user"])
    return PlainTextResponse("in")


async def visit(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse([request.session.user_id, request.session["visits"]])


async def count(request: Request) -> Response:
    request.app.state.made += 1
    return PlainTextResponse(f"made {request.app.state.made}")


def app_of(path: str) -> Starlette:
    app = Starlette(
        routes=[Route("/login", login), Route("/visit", visit), Route(path, count, methods=["GET", "POST"])]
    )
    app.state.made = 0
    return app


async def test_sessions_of_users_of_every_node(redis: Redis, name: str) -> None:
    """Sessions are found again wherever their users' slots lie."""
    app = SessionMiddleware(app_of("/"), store=SessionStore(redis, name))
    for number in range(12):
        async with calling(app) as client:
            await client.get("/login", params={"user": f"user:{number}"})
            assert [(await client.get("/visit")).json()[1] for _ in range(2)] == [1, 2]


async def test_limits_of_visitors_of_every_node(redis: Redis, name: str) -> None:
    """Every visitor has a limit of their own."""
    limiter = FixedWindow(redis, name, limit=1, period=3600)
    app = RateLimitMiddleware(app_of("/"), limiter=limiter, key=lambda scope: scope["query_string"].decode())
    async with calling(app) as client:
        codes = [(await client.get(f"/?visitor:{number}")).status_code for number in range(12) for _ in range(2)]
    assert codes == [200, 429] * 12


async def test_requests_of_every_node_are_handled_once(redis: Redis, name: str) -> None:
    """A request that comes again has the first one's response, whichever slot its key is in."""
    async with calling(IdempotencyMiddleware(app_of("/"), redis=redis, name=name)) as client:
        for number in range(12):
            headers = {"Idempotency-Key": f'"order {number}"'}
            assert [(await client.post("/", headers=headers)).text for _ in range(2)] == [f"made {number + 1}"] * 2


async def test_pages_of_every_node_are_made_once(redis: Redis, name: str) -> None:
    """A page is made once, and once more when its tag was invalidated, whichever slot it is in."""
    cache = Cache(redis, name, ttl=60, codec=Raw())
    app = ResponseCacheMiddleware(app_of("/"), cache=cache, tags=lambda scope: ["all"])
    async with calling(app) as client:
        for number in range(12):
            assert [(await client.get(f"/?{number}")).text for _ in range(2)] == [f"made {number + 1}"] * 2
        await cache.invalidate("all")
        assert (await client.get("/?0")).text == "made 13"


@pytest.mark.parametrize("vary", ["", "Accept"])
async def test_pages_of_every_node_are_of_after_the_invalidation(redis: Redis, name: str, vary: str) -> None:
    """A page that was made while its tag was invalidated is not kept, whichever slots it and its variants are in."""
    cache, made = Cache(redis, name, ttl=60, codec=Raw()), dict[str, int]()

    async def change_meanwhile(request: Request) -> Response:
        page = request.url.query
        made[page] = made.get(page, 0) + 1
        if made[page] == 1:
            await cache.invalidate(page)
        return PlainTextResponse(str(made[page]), headers={"Vary": vary} if vary else {})

    site = Starlette(routes=[Route("/", change_meanwhile)])
    app = ResponseCacheMiddleware(site, cache=cache, tags=lambda scope: [scope["query_string"].decode()])
    async with calling(app) as client:
        for number in range(12):
            assert [(await client.get(f"/?{number}")).text for _ in range(3)] == ["1", "2", "2"]
