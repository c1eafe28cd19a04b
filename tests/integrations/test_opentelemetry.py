"""Metrics and spans: what the patterns tell reaches OpenTelemetry, with attributes of few values."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from aioredis_patterns import Cache, Lock, LockTimeoutError, Queue, TokenBucket, Worker
from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.integrations.opentelemetry import Metrics, Spans
from aioredis_patterns.types import EventHook
from tests.support.waiting import eventually


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


class Traced:
    """A tracer whose spans are kept, and the hook that makes them."""

    def __init__(self) -> None:
        self.exporter, self.provider = InMemorySpanExporter(), TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer, self.hook = self.provider.get_tracer("test"), Spans(self.provider)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def traced() -> Traced:
    return Traced()


async def test_spans_of_a_lock(pipelined: PipelinedRedis, name: str, traced: Traced) -> None:
    """Waiting and holding are spans of the caller's trace, as long as they took, and tell no name of a lock."""
    lock = Lock(pipelined, name, lease=5, on_event=traced.hook)
    with traced.tracer.start_as_current_span("request") as request:
        async with lock:
            with pytest.raises(LockTimeoutError):
                await lock.acquire(timeout=0.05)
    waits, (hold,) = traced.named("redis_patterns.lock.acquire"), traced.named("redis_patterns.lock.hold")
    outcomes = [(span.attributes or {})["redis_patterns.outcome"] for span in (*waits, hold)]
    assert outcomes == ["acquired", "timeout", "released"]
    assert all(span.parent == request.get_span_context() for span in (*waits, hold))
    assert hold.end_time - hold.start_time >= waits[1].end_time - waits[1].start_time >= 50_000_000
    assert name not in str([span.to_json() for span in traced.exporter.get_finished_spans()])


async def test_a_failed_load_is_an_error(pipelined: PipelinedRedis, name: str, traced: Traced) -> None:
    """A loader that raises makes its span an error, and the key is told to nobody."""

    def fail() -> None:
        raise ZeroDivisionError

    cache = Cache(pipelined, name, ttl=60, on_event=traced.hook)
    with traced.tracer.start_as_current_span("request"), pytest.raises(ZeroDivisionError):
        await cache.get_or_load("secret", fail)
    (load,), (request,) = traced.named("redis_patterns.cache.load"), traced.named("request")
    assert load.status.status_code is StatusCode.ERROR
    assert [event.name for event in request.events if event.name != "exception"] == ["redis_patterns.cache.request"]
    assert "secret" not in load.to_json() + str(request.events[0].attributes)


async def test_decisions_are_events_of_the_request(pipelined: PipelinedRedis, name: str, traced: Traced) -> None:
    """Each answer of a limit stands on the span of the request that asked."""
    limit = TokenBucket(pipelined, name, limit=1, period=60, on_event=traced.hook)
    with traced.tracer.start_as_current_span("request"):
        for _ in range(2):
            await limit.hit("user")
    (request,) = traced.named("request")
    assert [(event.attributes or {})["redis_patterns.outcome"] for event in request.events] == ["allowed", "denied"]


async def test_a_message_is_traced_from_its_sender(pipelined: PipelinedRedis, name: str, traced: Traced) -> None:
    """The span of a handler is linked to the sender's, and one whose sender had no trace has no link."""
    queue = Queue(pipelined, name)
    with traced.tracer.start_as_current_span("send") as send:
        await queue.put("traced", headers=traced.hook.headers())
    await queue.put("untraced", headers=traced.hook.headers())

    async def handle(payload: str) -> None:
        with traced.tracer.start_as_current_span(payload):
            pass

    async with Worker(queue, handle, concurrency=1, around=traced.hook.handling(name)):
        await eventually(lambda: len(traced.named(f"process {name}")) == 2)
    first, second = traced.named(f"process {name}")
    assert [link.context.span_id for link in first.links] == [send.get_span_context().span_id]
    assert not second.links
    assert traced.named("traced")[0].parent == first.get_span_context()


def test_spans_let_pass_what_they_do_not_know(traced: Traced) -> None:
    """An event of another kind makes no span and raises nothing."""
    traced.hook(object())
    assert not traced.exporter.get_finished_spans()
