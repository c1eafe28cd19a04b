"""ResponseCacheMiddleware: what is for everybody is made once, and what is for one is nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from aioredis_patterns.caches import Cache
from aioredis_patterns.client import connect
from aioredis_patterns.codecs import Raw
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.integrations.asgi import ResponseCacheMiddleware, SessionMiddleware
from aioredis_patterns.integrations.asgi.directives import Directives
from aioredis_patterns.sessions import SessionStore
from tests.integrations.serving import Ended, behind_a_middleware, calling, serving


class Site:
    """An application that counts what it makes, and says of it what the query wants."""

    def __init__(self) -> None:
        self.made = 0
        self.go_on = asyncio.Event()
        self.fails = False

    async def page(self, request: Request) -> Response:
        self.made += 1
        headers = {name.replace("_", "-"): value for name, value in request.query_params.items()}
        status = int(headers.pop("status", 200))
        return PlainTextResponse(f"{self.made} for {request.headers.get('accept-language')}", status, headers)

    async def stream(self, request: Request) -> Response:
        self.made += 1
        return StreamingResponse(self.parts())

    async def parts(self) -> AsyncIterator[bytes]:
        yield b"first "
        await self.go_on.wait()
        if self.fails:
            raise ValueError("the application is broken")
        yield b"last"

    async def hello_later(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[str]:
            yield "hello "
            yield request.session.get("name")

        return StreamingResponse(parts(), headers={"Cache-Control": "public"})

    async def hello(self, request: Request) -> Response:
        self.made += 1
        return PlainTextResponse(f"hello {request.session.get('name')}")

    def application(self, cache: Cache[bytes], **options: Any) -> ResponseCacheMiddleware:
        routes = [
            Route("/", self.page, methods=["GET", "HEAD", "POST"]),
            Route("/other", self.page),
            Route("/stream", self.stream),
        ]
        return ResponseCacheMiddleware(Starlette(routes=routes), cache=cache, **options)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def cache(pipelined: Redis, name: str) -> Cache[bytes]:
    return Cache(pipelined, name, ttl=60, codec=Raw())


async def texts(client: httpx.AsyncClient, path: str = "/", **headers: str) -> list[str]:
    """What two requests for the same get."""
    return [(await client.get(path, headers=headers)).text.split()[0] for _ in range(2)]


async def test_a_page_is_made_once(redis: Redis, name: str, site: Site) -> None:
    """The second response is the first, with its age, whichever client of Redis the cache has."""
    async with calling(site.application(Cache(redis, name, ttl=60, codec=Raw()))) as client:
        first, second = [await client.get("/", params={"X-Number": "7"}) for _ in range(2)]
    assert (first.text, first.status_code) == (second.text, second.status_code)
    assert second.headers.pop("age") in {"0", "1"}
    assert first.headers == second.headers
    assert first.headers["x-number"] == "7"


async def test_pages_are_told_apart(cache: Cache[bytes], site: Site) -> None:
    """Host, path and query make a page."""
    async with calling(site.application(cache)) as client:
        for path in ("/", "/other", "/?a=b", "https://example.org/", "http://example.com/"):
            await client.get(path)
    assert site.made == 5


@pytest.mark.parametrize("codec", ["raw", "default"])
async def test_who_has_the_page_is_told_so(pipelined: Redis, name: str, site: Site, codec: str) -> None:
    """Whoever names the page's ETag gets 304 without a body, be it kept or made anew."""
    cache: Cache[bytes] = Cache(pipelined, name, ttl=60, codec=Raw() if codec == "raw" else None)
    async with calling(site.application(cache)) as client:
        tag = (await client.get("/?etag_is=own")).headers["etag"]
        await cache.clear()
        site.made = 0  # the same text, and so the same tag
        made, kept = [await client.get("/?etag_is=own", headers={"If-None-Match": f'"x", {tag}'}) for _ in range(2)]
        assert (await client.get("/?etag_is=own", headers={"If-None-Match": '"x"'})).status_code == 200
    for answer in (made, kept):
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in answer.headers
    assert site.made == 1


async def test_a_tag_of_the_applications_own_stays(cache: Cache[bytes], site: Site) -> None:
    """An ETag that the application gives is the page's, compared as a weak one."""
    async with calling(site.application(cache)) as client:
        assert (await client.get("/?ETag=W/%22mine%22")).headers["etag"] == 'W/"mine"'
        answer = await client.get("/?ETag=W/%22mine%22", headers={"If-None-Match": '"mine"'})
    assert answer.status_code == 304


@pytest.mark.parametrize(
    "path",
    ["/?Set-Cookie=a=b", "/?Vary=*", "/?Vary=Accept, *", "/?status=404", "/?status=500"]
    + [f"/?Cache-Control={said}" for said in ("private", "no-store", "no-cache", "max-age=60, Private", "max-age=0")]
    + [f"/?Cache-Control={said}" for said in ("max-age=nonsense", "s-maxage=0, max-age=60")],
)
async def test_what_is_not_for_everybody_is_not_kept(cache: Cache[bytes], site: Site, path: str) -> None:
    """Cookies, privacy, a variation by all there is and anything but 200 make a response that is nobody else's."""
    async with calling(site.application(cache)) as client:
        assert await texts(client, path) == ["1", "2"]


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer ada"}, {"Range": "bytes=0-1"}, {"Cache-Control": "no-store"}, {"Cookie": "a=b"}],
)
async def test_who_asks_for_himself_gets_his_own(cache: Cache[bytes], site: Site, headers: dict[str, str]) -> None:
    """A request that says who asks gets no kept response, and leaves none."""
    async with calling(site.application(cache)) as client:
        await client.get("/")
        assert await texts(client, "/", **headers) == ["2", "3"]
        assert await texts(client) == ["1", "1"]
        assert await texts(client, "/other", **headers) == ["4", "5"]
        assert await texts(client, "/other") == ["6", "6"]


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_only_a_get_is_answered(cache: Cache[bytes], site: Site, method: str) -> None:
    """Other methods reach the application, and leave nothing."""
    async with calling(site.application(cache)) as client:
        await client.request(method, "/")
        await client.get("/")
        await client.request(method, "/")
    assert site.made == 3


@pytest.mark.parametrize("said", ["public", "s-maxage=60"])
async def test_what_is_public_is_for_cookies_too(cache: Cache[bytes], site: Site, said: str) -> None:
    """A response that says it is for everybody is kept and given whatever cookies a browser sends along."""
    async with calling(site.application(cache)) as client:
        assert await texts(client, f"/?Cache-Control={said}", Cookie="tracker=1") == ["1", "1"]
        assert await texts(client, f"/?Cache-Control={said}", Cookie="tracker=2") == ["1", "1"]


async def test_what_varies_is_kept_for_each(cache: Cache[bytes], site: Site) -> None:
    """A response that varies by a field is given to requests with the same value of it, and to no others."""
    async with calling(site.application(cache)) as client:
        path = "/?Vary=Accept-Language, Cookie"
        wanted = [{"Accept-Language": "de"}, {"Accept-Language": "en"}, {"Accept-Language": "de", "Cookie": "a=b"}]
        first, second = [[(await client.get(path, headers=each)).text for each in wanted] for _ in range(2)]
    assert first == second == ["1 for de", "2 for en", "3 for de"]


@pytest.mark.parametrize(("said", "ttl"), [("max-age=30", 30), ("max-age=30, s-maxage=20", 20), ("public", 60)])
async def test_a_page_lives_as_long_as_it_says(
    pipelined: Redis, cache: Cache[bytes], name: str, site: Site, said: str, ttl: int
) -> None:
    """What it says to shared caches counts first, then what it says to all, then the cache's own time."""
    async with calling(site.application(cache)) as client:
        await client.get(f"/?Cache-Control={said}")
    (page,) = [key async for key in pipelined.scan_iter(f"*{name}*:value:*")]
    assert ttl - 5 < await pipelined.ttl(page) <= ttl


async def test_pages_are_invalidated_by_their_tags(cache: Cache[bytes], site: Site) -> None:
    """After its tag was invalidated a page is made anew."""
    async with calling(site.application(cache, tags=lambda scope: [f"path:{scope['path']}"])) as client:
        assert await texts(client) == ["1", "1"]
        await cache.invalidate("path:/other")
        assert await texts(client) == ["1", "1"]
        await cache.invalidate("path:/")
        assert await texts(client) == ["2", "2"]


@pytest.mark.parametrize(
    ("vary", "known"),
    [("", False), ("Accept-Language", False), ("Accept-Language", True)],
    ids=["plain", "varies", "is known to vary"],
)
async def test_a_page_made_before_an_invalidation_is_not_kept(redis: Redis, name: str, vary: str, known: bool) -> None:
    """What the application read before a tag was invalidated is given to nobody who comes afterwards."""
    cache, state = Cache(redis, name, ttl=60, codec=Raw()), ["old"]

    async def change_meanwhile(request: Request) -> Response:
        seen = state[0]
        if request.headers["accept-language"] == "de" and seen == "old":
            state[0] = "new"
            await cache.invalidate("state")
        return PlainTextResponse(seen, headers={"Vary": vary} if vary else {})

    site = Starlette(routes=[Route("/", change_meanwhile)])
    async with calling(ResponseCacheMiddleware(site, cache=cache, tags=lambda scope: ["state"])) as client:
        if known:  # so that it is known what the page varies by
            assert await texts(client, **{"Accept-Language": "en"}) == ["old", "old"]
        assert await texts(client, **{"Accept-Language": "de"}) == ["old", "new"]
        assert await texts(client, **{"Accept-Language": "en"}) == ["new", "new"]


async def test_a_page_is_made_and_given_without_redis(own_server: EmbeddedServer, name: str, site: Site) -> None:
    """With `on_error="open"` a page costs no more than the budget of the cache when Redis is silent."""
    async with connect(own_server.url) as client_of_redis:
        cache = Cache(client_of_redis, name, ttl=60, codec=Raw(), on_error="open", budget=0.05)
        async with calling(site.application(cache)) as client:
            own_server.pause()
            began = asyncio.get_running_loop().time()
            assert (await client.get("/")).status_code == 200
            assert asyncio.get_running_loop().time() - began < 4


@pytest.mark.parametrize(
    "foreign",
    [
        *(b"", b"\xff", b"[]", b"[1, 2, 3]", b'[{"vary": 7}, 200, []]', b'[{"vary": ["a"]}, 1, [1]]'),
        *(b'[{"vary": [], "cookies": 0, "edition": "", "at": %s}, 200, []]' % at for at in (b"NaN", b"1e999")),
        '[{"vary": ["\u0142"], "cookies": 0, "edition": "e", "at": 0}, 200, []]'.encode(),
        b'[{"vary": ["accept"], "cookies": 0, "edition": "", "at": 0}, 200, []]',
    ],
)
async def test_what_makes_no_sense_is_made_anew(
    pipelined: Redis, name: str, cache: Cache[bytes], site: Site, foreign: bytes
) -> None:
    """Bytes in the place of a page that are none count as a miss, and the page takes their place."""
    async with calling(site.application(cache)) as client:
        assert await texts(client) == ["1", "1"]
        (key,) = [key async for key in pipelined.scan_iter(f"*{name}*value:*")]
        await cache.set(key.decode().rpartition(":")[2], foreign)
        assert await texts(client) == ["2", "2"]


async def test_a_page_that_was_old_already_says_its_whole_age(cache: Cache[bytes], site: Site) -> None:
    """A kept page's age is what the application said it was, and what has passed since."""
    async with calling(site.application(cache)) as client:
        assert (await client.get("/?Age=100")).headers.get_list("age") == ["100"]
        (age,) = (await client.get("/?Age=100")).headers.get_list("age")
    assert 100 <= int(age) < 160


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"Age": "60", "Cache-Control": "max-age=60"}, False),
        ({"Age": "50", "Cache-Control": "max-age=60"}, True),
        ({"Age": "soon", "Cache-Control": "max-age=60"}, True),
        ({"Expires": "0"}, False),
        ({"Expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, False),
        ({"Expires": "Fri, 31 Dec 2999 23:59:59 GMT"}, True),
        ({"Expires": "0", "Cache-Control": "max-age=60"}, True),
    ],
)
async def test_a_page_is_not_kept_beyond_its_end(
    cache: Cache[bytes], site: Site, fields: dict[str, str], kept: bool
) -> None:
    """A page lives for its `max-age` less its `Age`, or until its `Expires`; what is no date has passed."""
    async with calling(site.application(cache)) as client:
        answers = [await client.get("/", params=fields) for _ in range(2)]
    assert (answers[0].text == answers[1].text) is kept


async def test_a_long_body_passes(cache: Cache[bytes], site: Site) -> None:
    """What is longer than is kept is given whole, and made each time."""
    async with calling(site.application(cache, max_body=5)) as client:
        assert await texts(client) == ["1", "2"]
        site.go_on.set()
        assert (await client.get("/stream")).text == "first last"


async def test_what_streams_is_not_held_up(cache: Cache[bytes], site: Site) -> None:
    """The first part arrives before the last is there, and the whole is kept."""
    async with serving(site.application(cache)) as client:
        async with client.stream("GET", "/stream") as answer:
            parts = answer.aiter_bytes()
            assert await anext(parts) == b"first "
            site.go_on.set()
            assert [part async for part in parts] == [b"last"]
        again = await client.get("/stream")
    assert (again.text, site.made) == ("first last", 1)
    assert "etag" in again.headers


@pytest.mark.parametrize("cut_by", ["the client", "an exception"])
async def test_a_page_that_was_cut_short_is_not_kept(cache: Cache[bytes], site: Site, cut_by: str) -> None:
    """What a client left in the middle of, or what failed there, is no page, though Starlette ends it as one."""
    app = Ended(ResponseCacheMiddleware(behind_a_middleware(Route("/stream", site.stream)), cache=cache))
    site.fails = cut_by == "an exception"
    async with serving(app) as client:
        async with client.stream("GET", "/stream") as answer:
            assert await anext(answer.aiter_bytes()) == b"first "
            if site.fails:
                site.go_on.set()
                await app.ended.wait()
        await app.ended.wait()
        site.fails = False
        site.go_on.set()
        assert [(await client.get("/stream")).text for _ in range(2)] == ["first last"] * 2
    assert site.made == 2


async def test_a_page_of_another_length_than_it_says_is_not_kept(cache: Cache[bytes]) -> None:
    """What has fewer bytes than its `Content-Length` was cut, and is made again for the next."""
    made = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        made.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"too short"[: 3 + 6 * (len(made) - 1)]})

    async with calling(ResponseCacheMiddleware(app, cache=cache)) as client:
        assert [(await client.get("/")).text for _ in range(3)] == ["too", "too short", "too short"]


async def test_a_body_belongs_to_its_request(cache: Cache[bytes], site: Site) -> None:
    """What was made of the body of a GET is not given to one without it, or with another."""
    async with calling(site.application(cache)) as client:
        answers = [await client.request("GET", "/", content=body) for body in (b"a", b"b", b"")]
    assert [answer.text.split()[0] for answer in answers] == ["1", "2", "3"]


async def test_an_empty_tag_is_nobodys(cache: Cache[bytes], site: Site) -> None:
    """An application that sends an `ETag` without anything in it has its pages given whole."""
    async with calling(site.application(cache)) as client:
        answers = [await client.get("/", params={"etag": ""}, headers=known) for known in ({}, {"If-None-Match": ""})]
    assert [(answer.status_code, answer.text.split()[0]) for answer in answers] == [(200, "1")] * 2


@pytest.mark.parametrize("outside", ["the cache", "the session"])
async def test_a_page_that_depends_on_the_session_is_not_given_to_others(
    pipelined: Redis, name: str, cache: Cache[bytes], site: Site, outside: str
) -> None:
    """Whichever middleware is the outer one, what was made of one visitor's session is no other's."""
    store = SessionStore(pipelined, name)
    app: Any = Starlette(routes=[Route("/", site.hello)])
    if outside == "the cache":
        app = ResponseCacheMiddleware(SessionMiddleware(app, store=store), cache=cache)
    else:
        app = SessionMiddleware(ResponseCacheMiddleware(app, cache=cache), store=store)
    tokens = [(await store.create(None, {"name": visitor})).token for visitor in ("ada", "bob")]
    async with calling(app) as client:
        cookies = [{"Cookie": f"__Host-session={token}"} for token in tokens] + [{}]
        answers = [[(await client.get("/", headers=each)).text for each in cookies] for _ in range(2)]
    assert answers == [["hello ada", "hello bob", "hello None"]] * 2


async def test_a_page_whose_body_depends_on_the_session_is_not_given_to_others(
    pipelined: Redis, name: str, cache: Cache[bytes], site: Site
) -> None:
    """A session that is looked at first when the body streams makes the page one visitor's as well."""
    store = SessionStore(pipelined, name)
    cached = ResponseCacheMiddleware(Starlette(routes=[Route("/", site.hello_later)]), cache=cache)
    tokens = [(await store.create(None, {"name": visitor})).token for visitor in ("ada", "bob")]
    async with calling(SessionMiddleware(cached, store=store)) as client:
        cookies = [{"Cookie": f"__Host-session={token}"} for token in tokens]
        assert [(await client.get("/", headers=each)).text for each in cookies] == ["hello ada", "hello bob"]


async def test_a_page_is_given_when_it_cannot_be_kept(own_server: EmbeddedServer, name: str, site: Site) -> None:
    """When Redis has no memory to store it, the visitor gets it all the same."""
    async with connect(own_server.url) as redis, calling(site.application(Cache(redis, name, ttl=60))) as client:
        await redis.config_set("maxmemory", 1)
        assert await texts(client) == ["1", "2"]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (None, Directives(no_store=False, is_private=False, is_public=False, max_age=None)),
        (b"PUBLIC , Max-Age=5", Directives(no_store=False, is_private=False, is_public=True, max_age=5)),
        (b'private="x-user"', Directives(no_store=False, is_private=True, is_public=False, max_age=None)),
        (b's-maxage="7",max-age=9', Directives(no_store=False, is_private=False, is_public=True, max_age=7)),
        (b"max-age=" + b"9" * 5000, Directives(no_store=False, is_private=False, is_public=False, max_age=0)),
    ],
)
def test_directives(field: bytes | None, told: Directives) -> None:
    """Names in any case, quotes and nonsense are read on the safe side."""
    assert Directives.of(field) == told
