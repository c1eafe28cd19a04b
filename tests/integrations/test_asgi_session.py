"""SessionMiddleware: what a visitor's session holds from one request to the next, and who cannot get at it."""

from __future__ import annotations

import json
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect as open_websocket

from aioredis_patterns.integrations.asgi import RequestSession, SessionMiddleware
from aioredis_patterns.sessions import SessionStore
from tests.integrations.serving import calling, serving

COOKIE = "__Host-session"


def of(request: Any) -> RequestSession:
    session: RequestSession = request.session
    return session


async def look(request: Request) -> Response:
    return JSONResponse([of(request).user_id, {name: of(request)[name] for name in sorted(of(request))}])


async def ignore(request: Request) -> Response:
    return PlainTextResponse("hello")


async def put(request: Request) -> Response:
    request.session.update(request.query_params)
    return PlainTextResponse("put")


async def append(request: Request) -> Response:
    request.session.setdefault("cart", []).append(request.query_params["item"])
    return PlainTextResponse("appended")


async def clear(request: Request) -> Response:
    request.session.clear()
    return PlainTextResponse("cleared")


async def login(request: Request) -> Response:
    await of(request).login(request.query_params["user"], device="a browser")
    return PlainTextResponse("in")


async def logout(request: Request) -> Response:
    await of(request).logout()
    return PlainTextResponse("out")


async def rotate(request: Request) -> Response:
    request.session["rotated"] = True
    await of(request).rotate(verified=True)
    return PlainTextResponse("rotated")


async def form(request: Request) -> Response:
    return PlainTextResponse(of(request).csrf_token())


async def submit(request: Request) -> Response:
    return PlainTextResponse(str(of(request).csrf_valid(request.query_params.get("token"))))


async def read_along(websocket: WebSocket) -> None:
    await websocket.accept()
    session: RequestSession = websocket.scope["session"]
    session["heard"] = await websocket.receive_text()
    await session.save()
    await websocket.send_text(json.dumps([session.user_id, dict(session)]))
    await websocket.close()


ROUTES = [
    *(Route(f"/{view.__name__}", view) for view in (look, ignore, put, append, clear, login, logout)),
    *(Route(f"/{view.__name__}", view) for view in (rotate, form, submit)),
    WebSocketRoute("/ws", read_along),
]


@pytest.fixture
def store(pipelined: Redis, name: str) -> SessionStore:
    return SessionStore(pipelined, name)


def application(store: SessionStore, **options: Any) -> SessionMiddleware:
    return SessionMiddleware(Starlette(routes=ROUTES), store=store, **options)


async def told(client: httpx.AsyncClient) -> Any:
    return (await client.get("/look")).json()


def cookies_in(response: httpx.Response) -> SimpleCookie:
    return SimpleCookie(response.headers.get("set-cookie", ""))


async def test_what_is_put_is_there_in_the_next_request(redis: Redis, name: str) -> None:
    """A visitor's fields come back with his cookie, whichever client of Redis the store has, and nobody else's."""
    app = application(SessionStore(redis, name))
    async with calling(app) as ada, calling(app) as bob:
        await ada.get("/put?color=red")
        await ada.get("/put?size=9")
        assert await told(ada) == [None, {"color": "red", "size": "9"}]
        assert await told(bob) == [None, {}]


async def test_a_change_inside_of_a_value_is_stored(store: SessionStore) -> None:
    """What is appended to a list in the session is in it in the next request."""
    async with calling(application(store)) as client:
        for item in ("tea", "milk"):
            await client.get("/append", params={"item": item})
        assert await told(client) == [None, {"cart": ["tea", "milk"]}]
        await client.get("/clear")
        assert await told(client) == [None, {}]


async def test_the_cookie_is_safe(store: SessionStore) -> None:
    """It is sent over TLS, to this host, not to scripts, not from elsewhere, and ends with the session."""
    async with calling(application(store)) as client:
        cookie = cookies_in(await client.get("/put?a=b"))[COOKIE]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
    assert (cookie["path"], cookie["domain"]) == ("/", "")
    assert 86_390 < int(cookie["max-age"]) <= 86_400


async def test_nobody_gets_a_session_for_reading(pipelined: Redis, store: SessionStore, name: str) -> None:
    """A visitor for whom nothing is kept gets no cookie, and nothing is written."""
    async with calling(application(store)) as client:
        answers = [await client.get(path) for path in ("/look", "/ignore", "/logout", "/submit")]
    assert ["set-cookie" in answer.headers for answer in answers] == [False] * 4
    assert [key async for key in pipelined.scan_iter(f"*{name}*")] == []


async def test_the_cookie_is_sent_when_it_changes(store: SessionStore) -> None:
    """A session that goes on is not sent again, and what depends on it says so."""
    async with calling(application(store)) as client:
        answers = [await client.get(path) for path in ("/put?a=b", "/put?a=c", "/look", "/ignore")]
    assert ["set-cookie" in answer.headers for answer in answers] == [True, False, False, False]
    assert [answer.headers.get("vary") for answer in answers] == ["Cookie", "Cookie", "Cookie", None]


async def test_only_a_change_is_written(pipelined: Redis, store: SessionStore) -> None:
    """A request that reads costs one call to Redis, one that changes two, and one without a cookie none."""
    async with calling(application(store)) as client, calling(application(store)) as stranger:
        await client.get("/put?a=b")
        paths = {(client, "/look"): 1, (client, "/put?a=b"): 1, (client, "/put?a=c"): 2, (stranger, "/look"): 0}
        used = {}
        for one, path in paths:
            before = await evalsha(pipelined)
            await one.get(path)
            used[one, path] = await evalsha(pipelined) - before
    assert used == paths


async def evalsha(redis: Redis) -> int:
    """How many scripts the server has been called with."""
    return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_a_login_changes_the_token(store: SessionStore) -> None:
    """What the visitor had is his after the login, and the token from before is worth nothing."""
    async with calling(application(store)) as client, calling(application(store)) as thief:
        await client.get("/put?color=red")
        before = client.cookies[COOKIE]
        await client.get("/login?user=ada")
        assert client.cookies[COOKIE] != before
        assert await told(client) == ["ada", {"color": "red"}]
        thief.cookies.set(COOKIE, before)
        assert await told(thief) == [None, {}]
    assert [info.device for info in await store.list("ada")] == ["a browser"]


async def test_what_one_user_had_is_not_anothers(store: SessionStore) -> None:
    """Who logs in where somebody else is logged in gets a session of his own; who logs in again keeps what he had."""
    async with calling(application(store)) as client:
        for path in ("/login?user=ada", "/put?secret=1", "/login?user=ada"):
            await client.get(path)
        assert await told(client) == ["ada", {"secret": "1"}]
        await client.get("/login?user=bob")
        assert await told(client) == ["bob", {}]
    assert await store.list("ada") == ()


async def test_a_logout_ends_the_session(store: SessionStore) -> None:
    """The cookie is gone from the browser, and one that was copied before is worth nothing."""
    async with calling(application(store)) as client, calling(application(store)) as thief:
        await client.get("/login?user=ada")
        thief.cookies.set(COOKIE, client.cookies[COOKIE])
        answer = await client.get("/logout")
        assert cookies_in(answer)[COOKIE]["max-age"] == "0"
        assert COOKIE not in client.cookies
        assert await told(thief) == [None, {}]
    assert await store.list("ada") == ()


async def test_what_is_put_after_a_logout_begins_a_session(store: SessionStore) -> None:
    """A visitor who logs out and goes on is somebody new, also within one request."""

    async def switch(request: Request) -> Response:
        await of(request).logout()
        request.session["goodbye"] = True
        return PlainTextResponse("bye")

    app = Starlette(routes=[*ROUTES, Route("/switch", switch)])
    async with calling(SessionMiddleware(app, store=store)) as client:
        await client.get("/login?user=ada")
        await client.get("/put?secret=1")
        await client.get("/switch")
        assert await told(client) == [None, {"goodbye": True}]


async def test_a_rotation_keeps_what_there_is(store: SessionStore) -> None:
    """The token changes, the session and what was changed in the same request stay."""
    async with calling(application(store)) as client:
        await client.get("/login?user=ada")
        before = client.cookies[COOKIE]
        await client.get("/rotate")
        assert client.cookies[COOKIE] != before
        assert await told(client) == ["ada", {"rotated": True}]


@pytest.mark.parametrize("token", ["", "x", "A" * 45, "A" * 45 + "=", '"quoted"', "ä", "a b"])
async def test_a_token_of_elsewhere_is_not_adopted(store: SessionStore, token: str) -> None:
    """What the store did not give is nobody's session, and what is put then gets a token of its own."""
    async with calling(application(store)) as client:
        cookie = f"{COOKIE}={token}".encode()
        answer = await client.get("/put?a=b", headers={b"cookie": cookie})
    given = cookies_in(answer)[COOKIE].value
    assert (answer.status_code, len(given)) == (200, 45)
    assert given != token


@pytest.mark.parametrize("line", ["{}", "a=b; {}; c=d", "a=b;{}", "x{}=1; {}", "session=1; {}"])
async def test_the_cookie_is_found_among_others(store: SessionStore, line: str) -> None:
    """Other cookies beside it, before it and with nearly its name do not hide it."""
    session = await store.create("ada", {})
    async with calling(application(store)) as client:
        answer = await client.get("/look", headers={"Cookie": line.replace("{}", f"{COOKIE}={session.token}")})
    assert answer.json() == ["ada", {}]


async def test_a_late_request_does_not_bring_a_session_back(store: SessionStore) -> None:
    """What a request changes while the user logs out elsewhere is lost, and the request is answered."""

    async def late(request: Request) -> Response:
        request.session["late"] = True
        await store.revoke_all("ada")
        return PlainTextResponse("late")

    app = Starlette(routes=[*ROUTES, Route("/late", late)])
    async with calling(SessionMiddleware(app, store=store)) as client:
        await client.get("/login?user=ada")
        answer = await client.get("/late")
        assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
        assert await told(client) == [None, {}]


async def test_a_form_is_known_by_its_token(store: SessionStore) -> None:
    """The token is the same in every form of a visitor, valid for him alone, and another one after the login."""
    async with calling(application(store)) as ada, calling(application(store)) as bob:
        token, again = [(await ada.get("/form")).text for _ in range(2)]
        assert token == again
        await bob.get("/form")
        judged = [(await client.get("/submit", params={"token": token})).text for client in (ada, bob)]
        assert judged == ["True", "False"]
        assert [(await ada.get(f"/submit{query}")).text for query in ("", "?token=", "?token=ä")] == ["False"] * 3
        await ada.get("/login?user=ada")
        assert (await ada.get("/submit", params={"token": token})).text == "False"


async def test_a_websocket_reads_the_session(store: SessionStore) -> None:
    """It has the session of its handshake's cookie, and stores what it says it should."""
    session = await store.create("ada", {"color": "red"})
    async with serving(application(store)) as client:
        url = f"ws://{client.base_url.netloc.decode()}/ws"
        async with open_websocket(url, additional_headers={"Cookie": f"{COOKIE}={session.token}"}) as websocket:
            await websocket.send("hello")
            assert json.loads(await websocket.recv()) == ["ada", {"color": "red", "heard": "hello"}]
    loaded = await store.load(session.token)
    assert loaded is not None
    assert loaded["heard"] == "hello"


async def test_fastapi_and_mounted_applications_share_the_session(store: SessionStore) -> None:
    """A FastAPI application with the middleware gives the same session to what is mounted in it."""
    app = FastAPI(middleware=[Middleware(SessionMiddleware, store=store)])

    @app.get("/count")
    async def count(request: FastAPIRequest) -> int:
        request.session["n"] = request.session.get("n", 0) + 1
        return int(request.session["n"])

    app.router.routes.append(Mount("/below", Starlette(routes=ROUTES)))
    async with calling(app) as client:
        assert [(await client.get("/count")).json() for _ in range(2)] == [1, 2]
        assert (await client.get("/below/look")).json() == [None, {"n": 2}]


async def test_without_tls_for_development(store: SessionStore) -> None:
    """With a plain name and `secure=False` the cookie works over HTTP."""
    async with serving(application(store, cookie="session", secure=False, same_site="strict")) as client:
        cookie = cookies_in(await client.get("/put?a=b"))["session"]
        assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == ("", True, "Strict")
        assert await told(client) == [None, {"a": "b"}]


@pytest.mark.parametrize(
    "options",
    [
        *({"secure": False}, {"cookie": ""}, {"cookie": "a b"}, {"cookie": "a=b"}, {"same_site": "Lax"}),
        {"cookie": "session", "secure": False, "same_site": "none"},
    ],
)
async def test_a_cookie_that_browsers_refuse_is_refused(store: SessionStore, options: dict[str, Any]) -> None:
    """A mistake in the cookie shows when the application is made."""
    with pytest.raises(ValueError, match=r"cookie|same_site"):
        application(store, **options)


async def test_a_forms_token_may_be_anything(store: SessionStore) -> None:
    """What comes back as a token and is no text of Unicode, as JSON can bring it, is not valid, and no accident."""
    session = RequestSession(store, None)
    token = session.csrf_token()
    strange: list[Any] = ["\ud800", "", None, 7, token.encode(), token + "\udcff"]
    assert [session.csrf_valid(each) for each in (token, *strange)] == [True] + [False] * len(strange)


async def test_names_are_texts(store: SessionStore) -> None:
    """A field by another name than a text is refused where it is put."""
    session: Any = RequestSession(store, None)
    with pytest.raises(TypeError):
        session[1] = "one"
