"""Rights: the rules that the page before production gives for one room are enough for it, and are what it calls."""

from __future__ import annotations

import asyncio
import random
import re
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

import aioredis_patterns
from aioredis_patterns import PatternError, connect
from aioredis_patterns._core.keys import Keys
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.integrations.asgi import IdempotencyMiddleware
from tests.integrations.serving import calling
from tests.lab.fuzz import some_inputs
from tests.lab.round_trips import ROUND_TRIPS
from tests.support.source import LUA, NAME, ROOT

PACKAGE_ROOT = ROOT / NAME
PAGE = (ROOT / "docs" / "production.md").read_text()
RULES = dict(re.findall(r"^\| `?([\w ]+)`? \| `([^`]+)` \|$", PAGE.replace("\\|", "¦"), re.MULTILINE))
ROOMS = {room: rules.replace("¦", "|").split() for room, rules in RULES.items()}
BASE = ROOMS.pop("all of them")
CALL = re.compile(r"""redis\.p?call\('([A-Z]+)'|Command\(\s*"([A-Z]+)"|pack_command\(\("(MGET|WAIT)\"""")
PATIENCE = 20.0
"""Seconds that a round trip may take; what waits for something gives up after 5."""
COPIES = ["+client|caching", "+client|tracking"]


class Hung(Exception):  # noqa: N818 - it is no error of anybody's
    """A round trip that did not end."""


def called_by(room: str) -> set[str]:
    """The rules for what the scripts of a room call, and its Python."""
    text = "".join(path.read_text() for kind in ("lua", "py") for path in (PACKAGE_ROOT / room).rglob(f"*.{kind}"))
    copies = COPIES if "link.tracking" in text else []
    return {f"+{''.join(found).lower()}" for found in CALL.findall(text)} | set(copies)


async def idempotency(redis: Redis, name: str) -> AsyncIterator[None]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": name.encode()})

    async with calling(IdempotencyMiddleware(app, redis=redis, name=name)) as client:
        for _ in range(2):
            assert (await client.post("/", headers={"Idempotency-Key": '"one"'})).status_code == 200
    yield


def probes_of(room: str) -> list[Any]:
    """The round trips of a room's patterns."""
    if room == "integrations":
        return [idempotency]
    of_room = f"aioredis_patterns.{room}."
    return [
        probe for name, probe in ROUND_TRIPS.items() if getattr(aioredis_patterns, name).__module__.startswith(of_room)
    ]


async def outcomes(room: str, url: str) -> list[Exception]:
    """How the round trips of a room end that fail."""
    async with connect(url) as redis:
        ended = await asyncio.gather(*(outcome(probe, redis) for probe in probes_of(room)))
    return [error for error in ended if error is not None]


async def outcome(probe: Any, redis: Redis) -> Exception | None:
    (given,) = some_inputs(probe, 1, random.Random())
    given |= {part: uuid4().hex for part in given.keys() & {"name", "subject"}}  # which no other has
    try:
        async with asyncio.timeout(PATIENCE) as patience:
            async for _ in probe(redis, **given):
                pass
    except Exception as error:  # noqa: BLE001 - it is told
        return Hung(probe.__name__) if patience.expired() else error
    return None


def is_clean(error: Exception) -> bool:
    """Whether it is one for callers; a round trip that finds less than it put may fail on its own."""
    if isinstance(error, RedisError | PatternError | OSError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return not isinstance(error, Hung) and not any(Path(each.filename).is_relative_to(PACKAGE_ROOT) for each in frames)


async def user_with(rules: list[str], server: EmbeddedServer, user: str) -> str:
    """Make a user anew, with these rules for commands that the server has; its URL."""
    names = [rule.removeprefix("+").partition("|")[0] for rule in rules]
    there = await server.ask("COMMAND", "INFO", *names)
    known = [rule for rule, info in zip(rules, there, strict=True) if info]
    await server.ask("ACL", "SETUSER", user, *"reset on >pw ~arp:* resetchannels &arp:* -@all".split(), *known)
    return server.url.replace("://", f"://{user}:pw@")


async def test_what_hangs_or_breaks_inside_is_not_clean(pipelined: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round trip that waits for ever, or an error of Python's from under the package, is not clean."""

    async def hangs(redis: Redis, name: str) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    async def breaks(redis: Redis, name: str) -> AsyncIterator[None]:
        Keys(name).key("key", object())  # type: ignore[arg-type]
        yield

    async def finds_less(redis: Redis, name: str) -> AsyncIterator[None]:
        yield
        raise AssertionError

    monkeypatch.setattr(f"{__name__}.PATIENCE", 0.05)
    ended = [await outcome(probe, pipelined) for probe in (hangs, breaks, finds_less)]
    assert [error is not None and is_clean(error) for error in ended] == [False, False, True]


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_names_what_a_room_calls(room: str) -> None:
    """The rules of a room are for the commands of its scripts and its own, no more and no less."""
    assert set(ROOMS[room]) == called_by(room)


def test_the_page_names_every_room() -> None:
    """Whatever has scripts of its own has a row, but for the command line."""
    rooms = {path.relative_to(PACKAGE_ROOT).parts[0] for path in LUA}
    assert ROOMS.keys() == rooms - {"console"}


@pytest.mark.parametrize("room", ROOMS)
async def test_a_room_needs_no_more_rights(room: str, own_server: EmbeddedServer) -> None:
    """A user with the rules of one room, and those for all, may do all that its patterns do."""
    url = await user_with([*BASE, *ROOMS[room]], own_server, "app")
    assert await outcomes(room, url) == []
    assert probes_of(room)


@pytest.mark.parametrize("room", ROOMS)
async def test_a_right_less_fails_cleanly(room: str, own_server: EmbeddedServer) -> None:
    """Without one of its rules a call ends in time with an error for its caller; given back, all is well."""
    rules = ROOMS[room]
    users = {f"without{missing}": [*BASE, *(rule for rule in rules if rule != missing)] for missing in rules}
    urls = [await user_with(less, own_server, user) for user, less in users.items()]
    failed = await asyncio.gather(*(outcomes(room, url) for url in urls))
    for user, errors in zip(users, failed, strict=True):
        assert all(map(is_clean, errors)), f"{user}: {errors!r}"
    assert sum(map(bool, failed)) > len(rules) / 3
    urls = [await user_with([*BASE, *rules], own_server, user) for user in users]
    assert await asyncio.gather(*(outcomes(room, url) for url in urls)) == [[]] * len(rules)
