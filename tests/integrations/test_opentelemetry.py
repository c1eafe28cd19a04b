"""Metrics and spans: what the patterns tell reaches OpenTelemetry, with attributes of few values."""

from __future__ import annotations

import json
import re
from typing import Any, get_args, get_type_hints

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from aioredis_patterns import Cache, Lock, LockTimeoutError, Queue, SessionStore, TokenBucket, Worker, connect, events
from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.integrations.opentelemetry import Metrics, Spans
from aioredis_patterns.types import EventHook
from tests.support.faults import FaultProxy
from tests.support.source import ROOT
from tests.support.waiting import eventually

EVENTS = [getattr(events, name) for name in events.__all__ if name != "emit"]
DASHBOARD = ROOT / "examples" / "observability" / "grafana.json"
GUIDE = ROOT / "docs" / "observability.md"
IN_PROMETHEUS = {"Histogram": ("_seconds_bucket", "_seconds_count", "_seconds_sum"), "Sum": ("_total",)}


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


def instruments(reader: InMemoryMetricReader) -> dict[str, str]:
    """The name of each instrument that was recorded, and of which kind it is."""
    data = reader.get_metrics_data()
    scopes = [] if data is None else [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return {
        metric.name.removeprefix("redis_patterns."): type(metric.data).__name__
        for scope in scopes
        for metric in scope.metrics
    }


def one_of(event: type) -> object:
    """An event of this kind, whatever it says."""
    hints = get_type_hints(event).items()
    values = {name: closed[0] if (closed := get_args(hint)) else hint() for name, hint in hints}
    return event(**values)


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


async def test_a_copied_token(
    pipelined: PipelinedRedis, name: str, metrics: EventHook, reader: InMemoryMetricReader
) -> None:
    """The use of a token long after its rotation is counted under the store's name."""
    store = SessionStore(pipelined, name, grace=0, on_event=metrics)
    old = await store.create("ada")
    await store.rotate(await store.rotate(old))
    await store.load(old.token)
    assert points(reader, "session.reuses") == [({"name": name, "outcome": "reported"}, 1)]
    assert old.token not in str(reader.get_metrics_data())


async def test_scripts_and_losses_of_a_connection(
    server: EmbeddedServer, name: str, metrics: EventHook, reader: InMemoryMetricReader
) -> None:
    """A connection that was given the hook is counted with every script that it called, and with its losses."""
    async with (
        FaultProxy(server.host, server.port) as proxy,
        connect(proxy.url, on_event=metrics) as redis,
        Lock(redis, name, lease=5),
    ):
        await proxy.cut_all()
    assert points(reader, "reconnect.duration") == [({}, 1)]
    scripts = [{"script": script, "outcome": "ok"} for script in ("lock_acquire", "lock_release")]
    assert points(reader, "script.duration") == [(script, 1) for script in scripts]
    assert name not in str(reader.get_metrics_data())


def test_every_event_is_counted(metrics: EventHook, reader: InMemoryMetricReader) -> None:
    """There is no event that `Metrics` lets pass, and the guide names the instrument of each."""
    for count, event in enumerate(EVENTS, start=1):
        metrics(one_of(event))
        assert sum(made for name in instruments(reader) for _, made in points(reader, name)) >= count, event
    named = set(re.findall(r"`redis_patterns\.([\w.]+)`", GUIDE.read_text()))
    assert set(instruments(reader)) <= named


def test_the_dashboard_asks_for_what_there_is(metrics: EventHook, reader: InMemoryMetricReader) -> None:
    """Every metric that the dashboard and the guide's questions name is one that Prometheus gets, by that name."""
    for event in EVENTS:
        metrics(one_of(event))
    known = {
        f"redis_patterns_{name.replace('.', '_')}{ending}"
        for name, kind in instruments(reader).items()
        for ending in IN_PROMETHEUS[kind]
    }
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    named = set(re.findall(r"redis_patterns_\w+", asked + GUIDE.read_text()))
    assert named <= known
    assert {name.rsplit("_", 1)[0] for name in known} == {name.rsplit("_", 1)[0] for name in named}


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
