"""The plugin for tests of other people's code: what it promises, seen in a run of pytest of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import anyio
from aioredis_patterns import Lock, connect

prefixes = set()

def test_a_server(redis_server, redis_url, redis_prefix):
    async def use():
        async with connect(redis_url) as redis, Lock(redis, "orders", prefix=redis_prefix) as lease:
            assert [key.startswith(redis_prefix.encode()) for key in await redis.keys(f"{redis_prefix}*")]
    anyio.run(use)
    assert redis_server.url == redis_url
    prefixes.add(redis_prefix)

def test_another_prefix(redis_prefix):
    assert redis_prefix not in prefixes

def test_a_cluster(redis_cluster):
    async def use():
        async with connect(redis_cluster.url) as redis:
            assert await redis.set("key", "value")
    anyio.run(use)
"""


def test_the_fixtures(pytester: pytest.Pytester) -> None:
    """A project that names the plugin gets a server, a prefix for each test, and a cluster, in tests that are plain."""
    pytester.makeconftest('pytest_plugins = ["aioredis_patterns.testing"]')
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", f"--rootdir={Path(pytester.path)}")
    result.assert_outcomes(passed=3)
