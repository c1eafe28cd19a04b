"""The middleware around real applications."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import http_sf
import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from aioredis_patterns import Decision, FixedWindow, Limiter, SlidingLog, TokenBucket
from aioredis_patterns.integrations.asgi import RateLimitMiddleware
from tests.integrations.serving import serving

HOUR = 3600
HEADERS = ("ratelimit", "ratelimit-policy", "retry-after", "x-ratelimit-remaining")


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def stream(request: Request) -> StreamingResponse:
    return StreamingResponse(iter([b"a", b"b"]), headers={"RateLimit": "upstream's own"})


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


ROUTES = [Route("/", hello), Route("/stream", stream), WebSocketRoute("/echo", echo)]


def application(**options: Any) -> RateLimitMiddleware:
    """An application with another one mounted below, all of it behind the middleware."""
    return RateLimitMiddleware(Starlette(routes=[*ROUTES, Mount("/below", Starlette(routes=ROUTES))]), **options)


def listed(response: httpx.Response, name: str) -> Any:
    """A field as a client's parser reads it: names with their parameters."""
    return http_sf.parse(response.headers[name].encode(), tltype="list")


async def test_the_fields_say_what_the_limit_said(pipelined: Redis, name: str) -> None:
    """Quota, period, rest and waiting time come in the structured fields, and no Retry-After unless denied."""
    limiter = TokenBucket(pipelined, name, limit=2, period=HOUR)
    async with serving(application(limiter=limiter)) as client:
        response = await client.get("/")
    assert (response.status_code, response.text) == (200, "hello")
    assert listed(response, "ratelimit-policy") == [(name, {"q": 2, "w": HOUR})]
    assert listed(response, "ratelimit") == [(name, {"r": 1, "t": 1800})]
    assert "retry-after" not in response.headers


async def test_any_client_of_redis_will_do(redis: Redis, name: str) -> None:
    """Requests are counted and denied alike, whichever client the limit has."""
    limiter = FixedWindow(redis, name, limit=2, period=HOUR)
    async with serving(application(limiter=limiter)) as client:
        responses = [await client.get("/") for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert [response.headers["ratelimit"].partition(";t=")[0] for response in responses] == [
        f'"{name}";r={left}' for left in (1, 0, 0)
    ]


async def test_a_denied_request_never_reaches_the_application(pipelined: Redis, name: str) -> None:
    """It is answered with 429, a problem document that names the limit, and a time that is not too early."""
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    async with serving(application(limiter=limiter)) as client:
        await client.get("/")
        response = await client.get("/")
    wait = (await limiter.peek("127.0.0.1")).retry_after
    assert (response.status_code, response.headers["content-type"]) == (429, "application/problem+json")
    assert response.json() == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Quota exceeded",
        "status": 429,
        "violated-policies": [name],
    }
    assert wait <= int(response.headers["retry-after"]) < wait + 2
    assert listed(response, "ratelimit") == [(name, {"r": 0, "t": int(response.headers["retry-after"])})]


async def test_what_can_never_pass_is_not_told_to_come_back(pipelined: Redis, name: str) -> None:
    """A request that costs more than the limit is denied without a Retry-After."""
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    async with serving(application(limiter=limiter, cost=2)) as client:
        response = await client.get("/")
    assert (response.status_code, "retry-after" in response.headers) == (429, False)


async def test_mounted_applications_are_limited_too(pipelined: Redis, name: str) -> None:
    """What is mounted shares the limit of what it is mounted in."""
    limiter = FixedWindow(pipelined, name, limit=2, period=HOUR)
    async with serving(application(limiter=limiter)) as client:
        paths = ("/", "/below/", "/below/", "/")
        assert [(await client.get(path)).status_code for path in paths] == [200, 200, 429, 429]


@pytest.mark.parametrize("limited", ["outside", "inside"])
async def test_the_outermost_writes_what_all_have_said(pipelined: Redis, name: str, limited: str) -> None:
    """With a limit around the application and one around what is mounted, each response has both, also a denial."""
    outer = FixedWindow(pipelined, f"{name}:outside", limit=1 if limited == "outside" else 9, period=HOUR)
    inner = SlidingLog(pipelined, f"{name}:inside", limit=1 if limited == "inside" else 9, period=60)
    below = RateLimitMiddleware(Starlette(routes=ROUTES), limiter=inner, headers="legacy")
    app = RateLimitMiddleware(Starlette(routes=[Mount("/below", below)]), limiter=outer)
    async with serving(app) as client:
        first, second = [await client.get("/below/") for _ in range(2)]
    assert [policy for policy, _ in listed(first, "ratelimit")] == [f"{name}:outside", f"{name}:inside"]
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["violated-policies"] == [f"{name}:{limited}"]
    assert len(listed(second, "ratelimit")) == (1 if limited == "outside" else 2)
    assert len(second.headers.get_list("ratelimit")) == 1
    assert "x-ratelimit-limit" not in first.headers


async def test_a_response_that_streams_is_told_of_once(pipelined: Redis, name: str) -> None:
    """The body passes untouched, and fields of the application's own by these names are replaced."""
    limiter = FixedWindow(pipelined, name, limit=5, period=HOUR)
    async with serving(application(limiter=limiter)) as client:
        response = await client.get("/stream")
    assert response.text == "ab"
    assert [policy for policy, _ in listed(response, "ratelimit")] == [name]


async def test_websockets_are_limited(pipelined: Redis, name: str) -> None:
    """A handshake counts like a request; a denied one is answered as a request is."""
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    async with serving(application(limiter=limiter)) as client:
        url = f"ws://{client.base_url.netloc.decode()}/below/echo"
        async with open_websocket(url) as websocket:
            assert http_sf.parse(websocket.response.headers["RateLimit"].encode(), tltype="list")[0][0] == name
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
        with pytest.raises(InvalidStatus) as denied:
            await open_websocket(url)
    assert denied.value.response.status_code == 429
    assert denied.value.response.headers["Content-Type"] == "application/problem+json"


async def test_a_websocket_is_closed_where_it_cannot_be_answered(pipelined: Redis, name: str) -> None:
    """On a server without the extension for that, a denied handshake is closed for a violated policy."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    app = application(limiter=FixedWindow(pipelined, name, limit=1, period=HOUR), cost=2)
    await app({"type": "websocket", "client": None, "headers": []}, None, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


async def test_everything_may_be_found_out_per_request(pipelined: Redis, name: str) -> None:
    """Limit, key, cost and exemption may each be an async function of the scope."""
    free, paid = (FixedWindow(pipelined, f"{name}:{plan}", limit=6, period=HOUR) for plan in ("free", "paid"))

    def header(scope: Any, wanted: bytes) -> str | None:
        return dict(scope["headers"]).get(wanted, b"").decode() or None

    async def limiter(scope: Any) -> Limiter | None:
        return {"free": free, "paid": paid}.get(header(scope, b"plan") or "")

    async def key(scope: Any) -> str | None:
        return header(scope, b"user")

    async def cost(scope: Any) -> int:
        return int(header(scope, b"cost") or 1)

    async def exempt(scope: Any) -> bool:
        return header(scope, b"user") == "root"

    async with serving(application(limiter=limiter, key=key, cost=cost, exempt=exempt)) as client:
        for headers in (
            {"plan": "free", "user": "ada", "cost": "2"},
            {"plan": "paid", "user": "ada", "cost": "3"},
            {"plan": "free"},
            {"plan": "free", "user": "root"},
            {"user": "ada"},
        ):
            assert (await client.get("/", headers=headers)).status_code == 200
    used = [(free, "ada"), (paid, "ada"), (free, "127.0.0.1"), (free, "root"), (paid, "127.0.0.1")]
    assert [(await limit.peek(subject)).remaining for limit, subject in used] == [4, 3, 5, 6, 6]


async def test_a_proxy_that_is_trusted_says_who_asks(pipelined: Redis, name: str) -> None:
    """Clients behind a proxy are told apart, and what a client makes up in front of its address changes nothing."""
    limiter = FixedWindow(pipelined, name, limit=1, period=HOUR)
    async with serving(application(limiter=limiter, trusted_proxies=["127.0.0.0/8"])) as client:
        clients = ["203.0.113.7", "6.6.6.6, 203.0.113.7", "203.0.113.8", "203.0.113.7, 127.0.0.9"]
        answers = [(await client.get("/", headers={"X-Forwarded-For": field})).status_code for field in clients]
    assert answers == [200, 429, 200, 429]


async def test_the_older_fields_are_there_on_request(pipelined: Redis, name: str) -> None:
    """X-RateLimit-* comes alone, beside the standard fields, or not at all, as the style says."""
    limiter = FixedWindow(pipelined, name, limit=100, period=HOUR)
    ietf, legacy = {"ratelimit", "ratelimit-policy"}, {"x-ratelimit-remaining"}
    wanted: dict[Any, set[str]] = {"ietf": ietf, "legacy": legacy, "both": ietf | legacy, None: set()}
    mounts = [Mount(f"/{style}", application(limiter=limiter, headers=style)) for style in wanted]
    async with serving(Starlette(routes=mounts)) as client:
        answers = {style: (await client.get(f"/{style}/")).headers for style in wanted}
    assert {style: {each for each in HEADERS if each in answers[style]} for style in wanted} == wanted
    assert [answers["legacy"][f"x-ratelimit-{each}"] for each in ("limit", "remaining")] == ["100", "98"]
    assert int(answers["legacy"]["x-ratelimit-reset"]) > 1_700_000_000


async def test_names_of_all_kinds_make_fields_that_can_be_read(pipelined: Redis, name: str) -> None:
    """Quotes, backslashes and letters beyond ASCII in the name of a limit break no field."""
    app: Any = Starlette(routes=ROUTES)
    for special in ('"quoted"', "back\\slash", "größe", "new\nline"):
        app = RateLimitMiddleware(app, limiter=FixedWindow(pipelined, name + special, limit=5, period=0.5))
    async with serving(app) as client:
        response = await client.get("/")
    policies = listed(response, "ratelimit-policy")
    assert [policy.removeprefix(name) for policy, _ in policies] == [
        *("new%0Aline", "gr%C3%B6%C3%9Fe", "back\\slash", '"quoted"')
    ]
    assert all(parameters == {"q": 5} for _, parameters in policies)
    assert [policy for policy, _ in listed(response, "ratelimit")] == [policy for policy, _ in policies]


async def test_other_connections_pass(pipelined: Redis, name: str) -> None:
    """The lifespan of an application is nobody's request."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await RateLimitMiddleware(app, limiter=FixedWindow(pipelined, name, limit=1, period=1))(
        {"type": "lifespan"}, None, None
    )
    assert seen == ["lifespan"]


class Fixed:
    """A limit that has made up its mind."""

    name = "api"

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    async def hit(self, subject: object = None, cost: object = 1, /) -> Decision:
        return self.decision


@pytest.mark.parametrize(
    ("source", "status", "kind", "retry"),
    [("closed", 503, "temporary-reduced-capacity", None), ("ban", 429, "abnormal-usage-detected", "2")],
)
async def test_a_denial_says_its_reason(source: Any, status: int, kind: str, retry: str | None) -> None:
    """A failing Redis is no fault of the client's, and a ban is more than a used up quota."""
    limiter = Fixed(Decision(False, 5, 0, 1.2, 1.2, "api", source))
    async with serving(application(limiter=limiter, headers=None)) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()["type"].partition("#")[2]) == (status, kind)
    assert response.headers.get("retry-after") == retry
