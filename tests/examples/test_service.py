"""The example service does what its pages say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from aioredis_patterns import embedded_server
from examples.service.app import create_app
from examples.service.database import GUESTS, PASSWORD, Database
from examples.service.house import House
from examples.service.shop import fulfil
from tests.integrations.serving import serving
from tests.support.waiting import eventually

COOKIE = "session"

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Service(NamedTuple):
    """The service as it runs, and where."""

    app: FastAPI
    url: httpx.URL


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One for all tests, with a Redis of its own, as its keys are named for what they are."""
    async with embedded_server() as redis:
        app = create_app(redis.url, tmp_path_factory.mktemp("teahouse") / "teahouse.sqlite", secure=False)
        async with serving(app) as client:
            yield Service(app, client.base_url)


@pytest.fixture
def house(service: Service) -> House:
    house: House = service.app.state.house
    return house


@pytest_asyncio.fixture(loop_scope="module")
async def client(service: Service, house: House) -> AsyncIterator[httpx.AsyncClient]:
    """A browser, when nobody is logged in anywhere."""
    for guest in GUESTS:
        await house.logins.reset(guest)
        await house.sessions.revoke_all(guest)
    async with httpx.AsyncClient(base_url=service.url) as client:
        yield client


def another(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Another browser."""
    return httpx.AsyncClient(base_url=client.base_url)


async def csrf(client: httpx.AsyncClient, path: str) -> str:
    """What the forms of a page have in their hidden field."""
    found = re.search(r'name="csrf" value="([^"]+)"', (await client.get(path)).text)
    assert found
    return found[1]


async def submit(client: httpx.AsyncClient, page: str, path: str | None = None, **fields: str) -> httpx.Response:
    """Fill in the form of a page, and send it."""
    token = await csrf(client, page)
    return await client.post(path or page, data={"csrf": token, **fields}, follow_redirects=True)


async def login(client: httpx.AsyncClient, name: str = "ada", password: str = PASSWORD) -> httpx.Response:
    return await submit(client, "/login", name=name, password=password)


async def test_a_guest_logs_in_and_out(client: httpx.AsyncClient) -> None:
    """After the login the pages know the guest, and after the logout they do not."""
    assert "Log in" in (await client.get("/")).text
    answer = await login(client)
    assert (answer.status_code, answer.url.path) == (200, "/guests/ada")
    assert "Log out" in (await client.get("/")).text
    await submit(client, "/", "/logout")
    assert "Log in" in (await client.get("/")).text
    assert COOKIE not in client.cookies


async def test_guessing_ends(client: httpx.AsyncClient) -> None:
    """After five wrong passwords not even the right one is looked at, and another guest is not affected."""
    answers = [await login(client, password=guess) for guess in ("a", "b", "c", "d", "e", PASSWORD)]
    assert [answer.status_code for answer in answers] == [403] * 5 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert (await login(client, "bob")).status_code == 200


async def test_a_form_of_elsewhere_is_refused(client: httpx.AsyncClient) -> None:
    """Without the token of the visitor's own pages a form changes nothing."""
    await login(client)
    for fields in ({}, {"csrf": "guessed"}):
        assert (await client.post("/guests/ada", data={"about": "hacked", **fields})).status_code == 403
    assert "hacked" not in (await client.get("/guests/ada")).text


async def test_logging_out_elsewhere_ends_the_other_sessions(client: httpx.AsyncClient) -> None:
    """The other browser is logged out at its next request, and this one stays."""
    async with another(client) as other:
        await login(client)
        await login(other)
        page = (await client.get("/guests/ada")).text
        assert page.count("python-httpx") == 2
        await submit(client, "/guests/ada", "/logout-elsewhere")
        assert "Log in" in (await other.get("/")).text
    assert "Log out" in (await client.get("/")).text


async def test_a_profile_is_read_once_and_written_through(house: House, client: httpx.AsyncClient) -> None:
    """However often it is looked at, the database is asked once, also after a change."""
    before = house.database.profiles_read
    await login(client, "cyd")
    await asyncio.gather(*(client.get("/guests/cyd") for _ in range(10)))
    await submit(client, "/guests/cyd", about="Now with <lemon>.")
    assert "Now with &lt;lemon&gt;." in (await client.get("/guests/cyd")).text
    assert house.database.profiles_read == before + 1
    assert (await house.database.profile("cyd"))["about"] == "Now with <lemon>."
    assert (await submit(client, "/guests/cyd", "/guests/bob", about="x")).status_code == 403


async def test_an_order_is_taken_once_and_done(client: httpx.AsyncClient) -> None:
    """An order that is sent twice is one order, which the worker takes from the stock."""
    await login(client)
    headers = {"Idempotency-Key": "8e03978e", "X-CSRF-Token": await csrf(client, "/")}
    first, second = [await client.post("/orders", data={"tea": "Oolong"}, headers=headers) for _ in range(2)]
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (202, first.json())
    assert second.headers["idempotency-replayed"] == "true"
    await eventually(lambda: shows(client, "on its way"))
    page = (await client.get("/")).text
    assert page.count("on its way") == 1
    assert '<td class="number">11</td>' in page


async def test_an_order_that_broke_off_is_done_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies at an order leaves nothing half done, and who takes the order next takes one from stock."""
    number, before = await house.database.add_order("cyd", "Darjeeling"), await house.database.left("Darjeeling") or 0

    async def die(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(house.database, "set_state", die)
        await fulfil(house, number)
    for _ in range(2):
        await fulfil(house, number)
    assert await house.database.left("Darjeeling") == before - 1
    assert await house.database.order(number) == ("Darjeeling", "on its way")


async def test_strange_words_are_no_accidents(client: httpx.AsyncClient) -> None:
    """Names that nobody can have and forms that are no text are refused, and break nothing."""
    headers = {"X-CSRF-Token": await csrf(client, "/login")}
    answers = [await client.post("/login", data={"name": name}, headers=headers) for name in ("x" * 600, "\0", "ü")]
    answers.append(await client.post("/login", content=b"name=\xff&password=%ff", headers=headers))
    answers += [await client.get(f"/guests/{name}") for name in ("x" * 600, "%00", "%ff")]
    assert [answer.status_code for answer in answers] == [403] * 4 + [422, 404, 404]


async def test_no_more_is_sold_than_there_is(house: House, client: httpx.AsyncClient) -> None:
    """Of five orders at once for the last three, three are on their way and two are sold out."""
    await login(client, "bob")
    headers = {"X-CSRF-Token": await csrf(client, "/")}
    await asyncio.gather(*(client.post("/orders", data={"tea": "White Peony"}, headers=headers) for _ in range(5)))
    await eventually(lambda: is_done(house.database, "bob", 5))
    states = sorted(state for _, _, state in await house.database.orders("bob"))
    assert states == ["on its way"] * 3 + ["sold out"] * 2


async def test_the_board_moves(client: httpx.AsyncClient) -> None:
    """Who looks at the board sees a cup that another pours, without asking again."""
    await login(client)
    async with another(client) as other, other.stream("GET", "/board/events") as events:
        lines = events.aiter_lines()
        assert "Nobody" in await an_event(lines)
        await submit(client, "/board")
        assert "ada" in await an_event(lines)
        await submit(client, "/board")
        assert '<td class="number">2</td>' in await an_event(lines)


async def test_fortunes_are_limited(client: httpx.AsyncClient) -> None:
    """A visitor gets three fortunes at once, is told where he stands, and a guest's are counted apart."""
    answers = [await client.get("/api/fortune") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"fortunes";q=10;w=60'
    assert int(answers[3].headers["retry-after"]) <= 6
    assert answers[3].json()["violated-policies"] == ["fortunes"]
    await login(client)
    assert (await client.get("/api/fortune")).status_code == 200


async def test_prices_are_made_once(client: httpx.AsyncClient) -> None:
    """The price list is kept for everybody, and who has it is told so."""
    await login(client)
    first, second = [await client.get("/api/prices") for _ in range(2)]
    assert ("age" in first.headers, "age" in second.headers) == (False, True)
    assert first.json() == second.json()
    third = await client.get("/api/prices", headers={"If-None-Match": first.headers["etag"]})
    assert third.status_code == 304


async def test_a_switch_works_at_once(client: httpx.AsyncClient) -> None:
    """A discount for all is seen on the next page, and what is no percentage is refused."""
    await login(client)
    assert "A tenth off" not in (await client.get("/")).text
    await submit(client, "/switches", percentage="100")
    assert "A tenth off" in (await client.get("/")).text
    assert "ada, bob, cyd" in (await client.get("/switches")).text
    assert (await submit(client, "/switches", percentage="101")).status_code == 422


async def shows(client: httpx.AsyncClient, text: str) -> bool:
    return text in (await client.get("/")).text


async def is_done(database: Database, user: str, orders: int) -> bool:
    found = await database.orders(user)
    return len(found) == orders and "waiting" not in {state for _, _, state in found}


async def an_event(lines: AsyncIterator[str]) -> str:
    """The next event of a stream."""
    parts: list[str] = []
    async for line in lines:
        if not line and parts:
            return "\n".join(parts)
        parts += [line.removeprefix("data: ")] if line.startswith("data: ") else []
    raise AssertionError("the stream ended")
