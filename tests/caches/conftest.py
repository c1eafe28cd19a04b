"""A second client, for what happens between processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client.connect import connect


@pytest.fixture
async def other(url: str) -> AsyncIterator[Redis]:
    """A client that shares nothing with the one under test, as another process would."""
    async with connect(url) as client:
        yield client
