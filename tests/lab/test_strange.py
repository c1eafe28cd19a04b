"""Strange names, payloads and stored bytes: a short form of what the laboratory does at length."""

from __future__ import annotations

import random
from inspect import isclass

import aioredis_patterns
from aioredis_patterns import connect
from aioredis_patterns.embedded import EmbeddedServer
from tests.lab.fuzz import fuzz, refuse
from tests.lab.hostile import attack_all
from tests.lab.hostile_calls import CALLS
from tests.lab.round_trips import LASTING, ROUND_TRIPS

PROBES = 40


async def test_what_is_put_under_a_strange_name_comes_back(own_server: EmbeddedServer) -> None:
    """No pattern mixes up two names, changes what it is given, or leaves a key for ever that is not meant to last."""
    async with connect(own_server.url) as redis:
        for pattern in ROUND_TRIPS:
            await fuzz(redis, pattern, PROBES, random.Random(pattern))


async def test_what_is_no_name_is_refused_before_any_command(own_server: EmbeddedServer) -> None:
    """Empty, long, broken and mistyped names and payloads are refused by every pattern without asking the server."""
    async with connect(own_server.url) as redis:
        assert all([await refuse(redis, pattern) for pattern in ROUND_TRIPS])


async def test_hostile_bytes_end_in_an_answer_or_in_an_error_of_ours(own_server: EmbeddedServer) -> None:
    """Whatever a pattern finds in its keys, no call hangs or raises an error from Python's inside."""
    surprises: list[str] = []
    async with connect(own_server.url) as redis:
        for pattern in CALLS:
            _, found = await attack_all(redis, pattern, 1, random.Random(pattern))
            surprises += found
    assert not surprises


def test_no_pattern_is_left_out() -> None:
    """Every public class that is built with a client has a round trip."""
    public = {name: getattr(aioredis_patterns, name) for name in aioredis_patterns.__all__}
    classes = {name: found for name, found in public.items() if isclass(found)}
    built = {name for name, found in classes.items() if "redis" in getattr(found.__init__, "__annotations__", ())}
    assert built <= ROUND_TRIPS.keys() | {"Limiter", "Standings"}  # what limits and boards have in common
    assert LASTING.keys() <= ROUND_TRIPS.keys()
