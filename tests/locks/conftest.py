"""One cluster for all tests of locks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from aioredis_patterns.embedded import EmbeddedCluster, embedded_cluster


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    """A cluster that every test of this folder may use and none may stop."""
    async with embedded_cluster() as running:
        yield running
