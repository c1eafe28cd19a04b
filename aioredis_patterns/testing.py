"""Fixtures for tests of your own code on a real server: a plugin of pytest.

Name it in your `conftest.py`:

    pytest_plugins = ["aioredis_patterns.testing"]

| fixture | what a test gets |
|---|---|
| `redis_server` | a server for the whole run, started from what the machine has, or the one that `REDIS_URL` names |
| `redis_url` | its URL, for `connect(redis_url)` |
| `redis_cluster` | a cluster of three masters for the whole run |
| `redis_prefix` | a prefix that no other test has, for `Lock(redis, "orders", prefix=redis_prefix)` |

They are plain fixtures, so tests may be run by pytest-asyncio, by anyio's plugin or by none. Nothing is flushed: each
test keeps to its prefix, and keys leave with their time to live or with the server.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from aioredis_patterns.embedded import EmbeddedCluster, EmbeddedServer, embedded_cluster, embedded_server

__all__ = ("redis_cluster", "redis_prefix", "redis_server", "redis_url")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    """A server that every test may use and none should stop."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(embedded_server()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: EmbeddedServer) -> str:
    """What to give to `connect`."""
    return redis_server.url


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[EmbeddedCluster]:
    """Three masters without replicas."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(embedded_cluster(masters=3, replicas=0)) as cluster,
    ):
        yield cluster


@pytest.fixture
def redis_prefix() -> str:
    """The first part of keys that only this test touches."""
    return f"test-{uuid.uuid4().hex}"
