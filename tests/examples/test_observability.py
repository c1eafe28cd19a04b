"""The example shop tells what the dashboard shows."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from aioredis_patterns import connect
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.integrations.opentelemetry import Metrics
from examples.observability.shop import GUESTS, Shop
from tests.support.waiting import eventually

TOLD = {
    *("redis_patterns.cache.load.duration", "redis_patterns.cache.requests", "redis_patterns.limiter.decisions"),
    *("redis_patterns.lock.acquire.duration", "redis_patterns.lock.hold.duration", "redis_patterns.script.duration"),
    *("redis_patterns.queue.depth", "redis_patterns.queue.oldest.age", "messaging.process.duration"),
}


async def test_a_visit_is_told_of(own_server: EmbeddedServer) -> None:
    """Guests who come and letters that are sent are in the metrics, and no guest's name is."""
    reader = InMemoryMetricReader()
    metrics = Metrics(MeterProvider([reader]))
    async with connect(own_server.url, on_event=metrics) as redis:
        shop = Shop(redis, metrics)

        async def all_is_told() -> bool:
            await shop.visit()
            await shop.measure()
            return told(reader) >= TOLD

        async with shop.worker:
            await eventually(all_is_told)
    assert not any(repr(guest) in str(reader.get_metrics_data()) for guest in GUESTS)


def told(reader: InMemoryMetricReader) -> set[str]:
    """The names of the instruments that were recorded."""
    data = reader.get_metrics_data()
    scopes = [] if data is None else [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return {metric.name for scope in scopes for metric in scope.metrics}
