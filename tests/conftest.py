"""One real server for the suite, a fresh prefix for each test, and the clients that users build."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis.asyncio as redis_py

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedCluster, EmbeddedServer, embedded_cluster, embedded_server

if (urls := os.environ.get("REDIS_URLS")) and (worker := os.environ.get("PYTEST_XDIST_WORKER")):
    os.environ["REDIS_URL"] = urls.split()[int(worker.removeprefix("gw"))]  # one process's tests disturb no other's

CLIENTS = {
    "pipelined": connect,
    "pipelined-decoding": lambda url: connect(url, decode_responses=True),
    "plain": redis_py.Redis.from_url,
    "plain-resp2-decoding": lambda url: redis_py.Redis.from_url(url, protocol=2, decode_responses=True),
}

CLUSTER_CLIENTS = {
    "pipelined": lambda cluster: connect(cluster.url),
    "plain-decoding": lambda cluster: redis_py.RedisCluster.from_url(cluster.masters[0].url, decode_responses=True),
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[EmbeddedServer]:
    """The server that every test may use and none may stop."""
    async with embedded_server() as running:
        yield running


@pytest.fixture(scope="session")
def url(server: EmbeddedServer) -> str:
    return server.url


@pytest_asyncio.fixture
async def own_server() -> AsyncIterator[EmbeddedServer]:
    """A server of this test alone: to be killed, paused and restarted."""
    async with embedded_server(args=["--appendonly", "no"]) as running:
        yield running


@pytest_asyncio.fixture
async def pipelined(url: str) -> AsyncIterator[redis_py.Redis]:
    """A client that shares one connection."""
    async with connect(url) as client:
        yield client


@pytest_asyncio.fixture(params=CLIENTS)
async def redis(request: pytest.FixtureRequest, url: str) -> AsyncIterator[redis_py.Redis]:
    """A client of each kind that users build; what takes this fixture runs on all of them."""
    async with CLIENTS[request.param](url) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    """Three nodes that every test may use and none may stop, and whose slots stay where they are."""
    async with embedded_cluster(replicas=0) as running:
        yield running


@pytest_asyncio.fixture(params=CLUSTER_CLIENTS)
async def cluster_client(request: pytest.FixtureRequest, cluster: EmbeddedCluster) -> AsyncIterator[redis_py.Redis]:
    """A client of each kind that users build for a cluster."""
    async with CLUSTER_CLIENTS[request.param](cluster) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"test:{uuid.uuid4().hex}"
