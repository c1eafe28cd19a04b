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

from aioredis_patterns import (
    Cache,
    ConsumerGroup,
    EventLog,
    Lock,
    LockTimeoutError,
    Queue,
    SessionStore,
    TokenBucket,
    Worker,
    connect,
    events,
)
from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.integrations.opentelemetry import Metrics, Spans
from aioredis_patterns.queues import QueueStats
from aioredis_patterns.streams import GroupStats
from aioredis_patterns.types import EventHook
from tests.support.faults import FaultProxy
from tests.support.source import ROOT
from tests.support.waiting import eventually

EVENTS = [getattr(events, name) for name in events.__all__ if name != "emit"]
DASHBOARD = ROOT / "examples" / "observability" / "grafana.json"
ALERTS = ROOT / "examples" / "observability" / "alerts.yml"
GUIDE = ROOT / "docs" / "observability.md"
ENDINGS = {"Histogram": ("_bucket", "_count", "_sum"), "Sum": ("_total",), "Gauge": ("",)}
UNITS = {"s": "_seconds"}
"""What Prometheus adds to the name of an instrument."""


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def metrics(reader: InMemoryMetricReader) -> Metrics:
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


def instruments(reader: InMemoryMetricReader) -> dict[str, Any]:
    """The instruments that were recorded, by their names."""
    data = reader.get_metrics_data()
    scopes = [] if data is None else [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return {metric.name: metric for scope in scopes for metric in scope.metrics}


def in_prometheus(metric: Any) -> set[str]:
    """What Prometheus calls it."""
    name = metric.name.replace(".", "_") + UNITS.get(metric.unit, "")
    return {name + ending for ending in ENDINGS[type(metric.data).__name__]}


async def record_everything(metrics: Metrics) -> None:
    """One record in each instrument."""
    for event in EVENTS:
        metrics(one_of(event))
    for stats in (QueueStats(1, 2, 3, 4, 5.0), GroupStats(1, 2, 3, 4.0)):
        metrics._measure[type(stats)](stats, {})
    delivery: Any = None
    async with metrics.handling("emails")(delivery):
        pass


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
    """There is no event that `Metrics` lets pass."""
    for count, event in enumerate(EVENTS, start=1):
        metrics(one_of(event))
        found = [point for name in instruments(reader) for point in points(reader, name.partition(".")[2])]
        assert sum(made for _, made in found) >= count, event


async def test_the_guide_names_every_instrument(metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """What is recorded stands in the guide's tables, and nothing else does."""
    await record_everything(metrics)
    assert set(instruments(reader)) == set(
        re.findall(r"`((?:redis_patterns|messaging)\.[a-z.]+)` \|", GUIDE.read_text())
    )


async def test_the_dashboard_asks_for_what_there_is(metrics: Metrics, reader: InMemoryMetricReader) -> None:
    """The dashboard shows every instrument; what it, the alerts and the guide ask for is called so in Prometheus."""
    await record_everything(metrics)
    known = [in_prometheus(metric) for metric in instruments(reader).values()]
    shown = " ".join(
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]
    )
    name = r"(?:redis_patterns|messaging_process)_\w+"
    assert all(names & set(re.findall(name, shown)) for names in known)
    assert set(re.findall(name, shown + ALERTS.read_text() + GUIDE.read_text())) <= set().union(*known)


async def test_the_depth_of_a_queue(
    pipelined: PipelinedRedis, name: str, metrics: Metrics, reader: InMemoryMetricReader
) -> None:
    """A queue that is measured tells how many messages are in each state, and that none waits when none does."""
    queue = Queue(pipelined, name)
    await queue.put("secret")
    await queue.put("secret", delay=60)
    await metrics.measure(queue, "emails")
    assert points(reader, "queue.depth") == [
        ({"name": "emails", "state": state}, count)
        for state, count in (("ready", 1), ("delayed", 1), ("leased", 0), ("dead", 0))
    ]
    ((attributes, age),) = points(reader, "queue.oldest.age")
    assert (attributes, age > 0) == ({"name": "emails"}, True)
    assert await queue.claim(timeout=0) is not None
    await metrics.measure(queue, "emails")
    assert points(reader, "queue.oldest.age") == [({"name": "emails"}, 0)]
    assert "secret" not in str(reader.get_metrics_data())


async def test_how_far_a_group_is(
    pipelined: PipelinedRedis, name: str, metrics: Metrics, reader: InMemoryMetricReader
) -> None:
    """A group that is measured tells what it was not given, what is being handled and how old the oldest is."""
    log = EventLog(pipelined, name)
    group = ConsumerGroup(log, "billing")
    for _ in range(3):
        await log.append("secret")
    assert await group.claim("worker", timeout=0) is not None
    await metrics.measure(group)
    found = {state: points(reader, f"stream.{state}") for state in ("lag", "pending", "dead")}
    assert found == {state: [({"name": "billing"}, n)] for state, n in (("lag", 2), ("pending", 1), ("dead", 0))}
    ((_, age),) = points(reader, "stream.oldest.age")
    assert age > 0


async def test_how_long_handlers_take(
    pipelined: PipelinedRedis, name: str, metrics: Metrics, reader: InMemoryMetricReader
) -> None:
    """Each run of a handler is recorded under the queue's name, with the kind of error when it raised one."""
    queue, handled = Queue(pipelined, name, max_deliveries=1), list[str]()

    async def handle(payload: str) -> None:
        handled.append(payload)
        if payload == "bad":
            raise ZeroDivisionError

    for payload in ("good", "bad"):
        await queue.put(payload)
    async with Worker(queue, handle, around=metrics.handling("emails")):
        await eventually(lambda: len(handled) == 2)
    data = instruments(reader)["messaging.process.duration"].data
    attributes = [dict(point.attributes) for point in data.data_points]
    assert [one.pop("error.type", None) for one in attributes] in (
        [None, "ZeroDivisionError"],
        ["ZeroDivisionError", None],
    )
    assert {one["messaging.destination.name"] for one in attributes} == {"emails"}


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
