"""Metrics: what the patterns tell reaches OpenTelemetry, with attributes of few values."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from aioredis_patterns import Cache, Lock, LockTimeoutError, TokenBucket
from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.integrations.opentelemetry import Metrics
from aioredis_patterns.types import EventHook


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def metrics(reader: InMemoryMetricReader) -> EventHook:
    return Metrics(MeterProvider([reader]))


def points(reader: InMemoryMetricReader, instrument: str) -> list[tuple[dict[str, Any], int]]:
    """The attributes of each point of an instrument, and how often it was recorded."""
    data = reader.get_metrics_data()
    assert data is not None
    found = [
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == f"redis_patterns.{instrument}"
    ]
    return [
        (dict(point.attributes or {}), getattr(point, "count", getattr(point, "value", 0)))
        for metric in found
        for point in metric.data.data_points
    ]


async def test_requests_and_loads_of_a_cache(
    pipelined: PipelinedRedis, name: str, metrics: EventHook, reader: InMemoryMetricReader
) -> None:
    """A miss, its load and a hit are counted under the cache's name, and the key is told to nobody."""
    cache = Cache(pipelined, name, ttl=60, on_event=metrics)
    for _ in range(2):
        await cache.get_or_load("secret", lambda: "value")
    assert points(reader, "cache.requests") == [
        ({"name": name, "outcome": "miss"}, 1),
        ({"name": name, "outcome": "hit"}, 1),
    ]
    assert points(reader, "cache.load.duration") == [({"name": name, "outcome": "stored"}, 1)]
    assert "secret" not in str(reader.get_metrics_data())


async def test_decisions_of_a_limit(
    pipelined: PipelinedRedis, name: str, metrics: EventHook, reader: InMemoryMetricReader
) -> None:
    """Each answer of a limit is counted by its outcome."""
    limit = TokenBucket(pipelined, name, limit=1, period=60, on_event=metrics)
    for _ in range(3):
        await limit.hit("user")
    kind = {"pattern": "TokenBucket", "name": name}
    assert points(reader, "limiter.decisions") == [
        (kind | {"outcome": "allowed"}, 1),
        (kind | {"outcome": "denied"}, 2),
    ]


async def test_times_of_a_lock(
    pipelined: PipelinedRedis, name: str, metrics: EventHook, reader: InMemoryMetricReader
) -> None:
    """How long a lock was waited for and held is recorded, by how it ended."""
    lock = Lock(pipelined, name, lease=5, on_event=metrics)
    async with lock:
        with pytest.raises(LockTimeoutError):
            await lock.acquire(timeout=0.01)
    waits = points(reader, "lock.acquire.duration")
    assert waits == [({"pattern": "Lock", "outcome": outcome}, 1) for outcome in ("acquired", "timeout")]
    assert points(reader, "lock.hold.duration") == [({"pattern": "Lock", "outcome": "released"}, 1)]


def test_what_it_does_not_know_is_let_pass(metrics: EventHook) -> None:
    """An event of another kind raises nothing."""
    metrics(object())
