"""Opens the shop on a Redis of its own, for Prometheus to look at, until Ctrl-C."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from prometheus_client import start_http_server

from aioredis_patterns import connect, embedded_server
from aioredis_patterns.integrations.opentelemetry import Metrics

from .shop import Shop

PORT = 9464
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


async def main() -> None:
    """Let some guests come every second."""
    views = [View(instrument_name="*.duration", aggregation=ExplicitBucketHistogramAggregation(BUCKETS))]
    metrics = Metrics(MeterProvider([PrometheusMetricReader()], views=views))
    start_http_server(PORT, "127.0.0.1")
    async with embedded_server() as server, connect(server.url, on_event=metrics) as redis:
        shop = Shop(redis, metrics)
        async with shop.worker:
            print(f"The shop is open: http://localhost:{PORT}/metrics (Ctrl-C closes it)")  # noqa: T201
            while True:
                await asyncio.gather(*(shop.visit() for _ in range(5)))
                await shop.measure()
                await asyncio.sleep(1)


with suppress(KeyboardInterrupt):
    asyncio.run(main())
