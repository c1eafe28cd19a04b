"""Metrics and traces of every pattern by OpenTelemetry: hooks, given to each pattern that is to be seen.

Given to `connect()` as well, `Metrics` counts what the connection tells: the scripts of all patterns, and losses.

Needs the extra `otel`. What becomes of them is the SDK's: OTLP, Prometheus, the console. `Metrics` counts:

| instrument | kind | attributes |
|---|---|---|
| `redis_patterns.lock.acquire.duration` | histogram, s | `pattern`, `outcome` = acquired, timeout |
| `redis_patterns.lock.hold.duration` | histogram, s | `pattern`, `outcome` = released, lost |
| `redis_patterns.lock.lost` | counter | `pattern`, `reason` = expired, taken, unreachable |
| `redis_patterns.limiter.decisions` | counter | `pattern`, `name`, `outcome` = allowed, denied, error_open ... |
| `redis_patterns.cache.requests` | counter | `name`, `outcome` = hit, near_hit, stale, miss, coalesced, error |
| `redis_patterns.cache.load.duration` | histogram, s | `name`, `outcome` = stored, discarded, failed |
| `redis_patterns.payload.undecodable` | counter | `pattern`, `name` |
| `redis_patterns.session.reuses` | counter | `name`, `outcome` = revoked, reported |
| `redis_patterns.script.duration` | histogram, s | `script`, `outcome` = ok, reloaded, error, unknown, cancelled |
| `redis_patterns.reconnect.duration` | histogram, s | none |

What no event tells it asks for, or is put around, where you say so:

| instrument | kind | attributes |
|---|---|---|
| `redis_patterns.queue.depth` | gauge | `name`, `state` = ready, delayed, leased, dead |
| `redis_patterns.queue.oldest.age` | gauge, s | `name` |
| `redis_patterns.stream.lag`, `.pending`, `.dead` | gauge | `name` |
| `redis_patterns.stream.oldest.age` | gauge, s | `name` |
| `messaging.process.duration` | histogram, s | `messaging.*`, and `error.type` of a handler that raised |

`Spans` traces:

| what happened | becomes | attributes |
|---|---|---|
| a lock was waited for | span `lock.acquire` | `pattern`, `outcome` = acquired, timeout |
| a lock was held | span `lock.hold` | `pattern`, `outcome` = released, lost |
| a cache called its loader | span `cache.load` | `name`, `outcome` = stored, discarded, failed |
| a limit answered, a cache was asked | an event of the span it happened in | `pattern`, `name`, `outcome` |
| a worker handled a message | span `process <queue>`, linked to the sender's | `messaging.*` |

No attribute holds a user's key: each has as many values as the program has patterns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic, time_ns
from typing import Any, Final, TypeAlias, final

from opentelemetry.metrics import Meter, MeterProvider, get_meter
from opentelemetry.trace import Link, SpanKind, StatusCode, TracerProvider, get_current_span, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aioredis_patterns.events import (
    CacheLoaded,
    CacheRequested,
    LimitDecided,
    LockAcquired,
    LockLost,
    LockReleased,
    LockTimedOut,
    PayloadUndecodable,
    Reconnected,
    ScriptCalled,
    SessionTokenReused,
)
from aioredis_patterns.queues import PriorityQueue, Queue, QueueStats
from aioredis_patterns.streams import ConsumerGroup, GroupStats
from aioredis_patterns.types import Claimed

__all__ = ("Metrics", "Spans")

_Source: TypeAlias = Queue[Any] | PriorityQueue[Any] | ConsumerGroup[Any]

_W3C: Final = TraceContextTextMapPropagator()

_PERIODS: Final[dict[type, Callable[[Any], tuple[str, float, dict[str, str]]]]] = {
    LockAcquired: lambda e: ("lock.acquire", e.waited, {"pattern": e.pattern, "outcome": "acquired"}),
    LockTimedOut: lambda e: ("lock.acquire", e.waited, {"pattern": e.pattern, "outcome": "timeout"}),
    LockReleased: lambda e: ("lock.hold", e.held, {"pattern": e.pattern, "outcome": "released"}),
    LockLost: lambda e: ("lock.hold", e.held, {"pattern": e.pattern, "outcome": "lost", "reason": e.reason}),
    CacheLoaded: lambda e: ("cache.load", e.duration, {"name": e.name, "outcome": e.outcome}),
}
"""What took time: the span's name, how long it was in seconds, its attributes."""

_MOMENTS: Final[dict[type, Callable[[Any], tuple[str, dict[str, str]]]]] = {
    LimitDecided: lambda e: ("limiter.decision", {"pattern": e.pattern, "name": e.name, "outcome": e.outcome}),
    CacheRequested: lambda e: ("cache.request", {"name": e.name, "outcome": e.outcome}),
}
"""What took none: the event's name and its attributes."""

_FAILURES: Final = frozenset(("lost", "failed"))


@final
class Metrics:
    """A hook that counts events into OpenTelemetry's instruments.

    Promise: a hook awaits nothing and raises nothing. Limit of the promise: an event of a kind that is not in the table
    of the module is let pass.

    Cost: 5 us an event with the SDK, 0.3 us without one.

    Args:
        provider: Whose meter to take; the global one when None.

    Example:
        >>> from aioredis_patterns import Cache
        >>> from aioredis_patterns.integrations.opentelemetry import Metrics
        >>> users = Cache(redis, "users", ttl=60, on_event=Metrics())
        >>> await users.set(42, {"name": "Ada"})
    """

    __slots__ = ("_handling", "_measure", "_records")

    def __init__(self, provider: MeterProvider | None = None) -> None:
        meter = get_meter("aioredis_patterns", meter_provider=provider)
        decisions = meter.create_counter("redis_patterns.limiter.decisions", "{decision}", "Answers of rate limits.")
        requests = meter.create_counter("redis_patterns.cache.requests", "{request}", "Keys that were asked for.")
        loading = meter.create_histogram("redis_patterns.cache.load.duration", "s", "How long loaders took.")
        undecodable = meter.create_counter("redis_patterns.payload.undecodable", "{payload}", "Bytes of no use.")
        reuses = meter.create_counter("redis_patterns.session.reuses", "{reuse}", "Copies of tokens that were used.")

        self._records: dict[type, Callable[[Any], None]] = {
            LimitDecided: lambda e: decisions.add(1, {"pattern": e.pattern, "name": e.name, "outcome": e.outcome}),
            CacheRequested: lambda e: requests.add(1, {"name": e.name, "outcome": e.outcome}),
            CacheLoaded: lambda e: loading.record(e.duration, {"name": e.name, "outcome": e.outcome}),
            PayloadUndecodable: lambda e: undecodable.add(1, {"pattern": e.pattern, "name": e.name}),
            SessionTokenReused: lambda e: reuses.add(1, {"name": e.name, "outcome": e.outcome}),
            **_of_locks(meter),
            **_of_connections(meter),
        }
        self._measure = {QueueStats: _of_queues(meter), GroupStats: _of_groups(meter)}
        self._handling = meter.create_histogram("messaging.process.duration", "s", "How long handlers took.")

    def __call__(self, event: object) -> None:
        """Count one event."""
        if (record := self._records.get(type(event))) is not None:
            record(event)

    async def measure(self, source: _Source, name: str | None = None) -> None:
        """Ask a queue or a group how much there is to do, and record it: now and then, in one process.

        Args:
            source: A `Queue`, a `PriorityQueue` or a `ConsumerGroup`.
            name: What the attribute is to say; its own name when None.

        Raises:
            redis.exceptions.RedisError: Redis failed; what was recorded last stays.
        """
        stats = await source.stats()
        self._measure[type(stats)](stats, {"name": source.name if name is None else name})

    def handling(self, queue: str) -> Callable[[Claimed[Any]], AbstractAsyncContextManager[None]]:
        """What to give to a worker as `around`: how long each handler takes, and what it raises.

        Args:
            queue: The queue's name, as the attribute is to have it.
        """

        @asynccontextmanager
        async def around(_delivery: Claimed[Any]) -> AsyncIterator[None]:
            attributes, began = _processing(queue), monotonic()
            try:
                yield
            except BaseException as error:
                attributes["error.type"] = type(error).__qualname__
                raise
            finally:
                self._handling.record(monotonic() - began, attributes)

        return around


@final
class Spans:
    """A hook that makes spans of what took time, in the trace of the caller; and the traces of messages.

    Promise: nothing is awaited and nothing raised; the spans have the times of what they tell of. Limit of the
    promise: they are made when it is over, so what ran while a lock was held stands beside `lock.hold`, not below it.

    Cost: 20 to 30 us a span with the SDK.

    Args:
        provider: Whose tracer to take; the global one when None.

    Example:
        >>> from aioredis_patterns import Lock, Queue, Worker
        >>> from aioredis_patterns.integrations.opentelemetry import Spans
        >>> spans = Spans()
        >>> async with Lock(redis, "report", on_event=spans):
        ...     pass
        >>> emails = Queue(redis, "emails")
        >>> id = await emails.put({"to": "ada@example.com"}, headers=spans.headers())
        >>> async def send(payload):
        ...     print(payload)
        >>> worker = Worker(emails, send, around=spans.handling("emails"))
    """

    __slots__ = ("_tracer",)

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("aioredis_patterns", tracer_provider=provider)

    def __call__(self, event: object) -> None:
        """Make a span of what took time, and note on the present span what took none."""
        if (moment := _MOMENTS.get(type(event))) is not None:
            name, attributes = moment(event)
            get_current_span().add_event(f"redis_patterns.{name}", _prefixed(attributes))
        elif (period := _PERIODS.get(type(event))) is not None:
            name, seconds, attributes = period(event)
            self._record(name, seconds, attributes)

    def headers(self) -> dict[str, str]:
        """The present trace, as W3C headers, for `put(headers=...)` and `append(headers=...)`."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier

    def handling(self, queue: str) -> Callable[[Claimed[Any]], AbstractAsyncContextManager[None]]:
        """What to give to a worker as `around`: a span around each handler, linked to the trace in the headers.

        Args:
            queue: The queue's name, as the span is to have it.
        """
        attributes = _processing(queue)

        @asynccontextmanager
        async def around(delivery: Claimed[Any]) -> AsyncIterator[None]:
            sender = get_current_span(_W3C.extract(delivery.headers)).get_span_context()
            links = [Link(sender)] if sender.is_valid else []
            with self._tracer.start_as_current_span(
                f"process {queue}", kind=SpanKind.CONSUMER, attributes=attributes, links=links
            ):
                yield

        return around

    def _record(self, name: str, seconds: float, attributes: dict[str, str]) -> None:
        ended = time_ns()
        span = self._tracer.start_span(
            f"redis_patterns.{name}",
            attributes=_prefixed(attributes),
            start_time=ended - int(seconds * 1e9),
        )
        if attributes["outcome"] in _FAILURES:
            span.set_status(StatusCode.ERROR)
        span.end(ended)


def _of_locks(meter: Meter) -> dict[type, Callable[[Any], None]]:
    acquiring = meter.create_histogram("redis_patterns.lock.acquire.duration", "s", "From the call to the lease.")
    holding = meter.create_histogram("redis_patterns.lock.hold.duration", "s", "From the lease to its end.")
    lost = meter.create_counter("redis_patterns.lock.lost", "{lock}", "Leases that ended before their holder did.")

    def lock_lost(event: LockLost) -> None:
        lost.add(1, {"pattern": event.pattern, "reason": event.reason})
        holding.record(event.held, {"pattern": event.pattern, "outcome": "lost"})

    return {
        LockAcquired: lambda e: acquiring.record(e.waited, {"pattern": e.pattern, "outcome": "acquired"}),
        LockTimedOut: lambda e: acquiring.record(e.waited, {"pattern": e.pattern, "outcome": "timeout"}),
        LockReleased: lambda e: holding.record(e.held, {"pattern": e.pattern, "outcome": "released"}),
        LockLost: lock_lost,
    }


def _of_connections(meter: Meter) -> dict[type, Callable[[Any], None]]:
    calling = meter.create_histogram("redis_patterns.script.duration", "s", "From the call to its end.")
    returning = meter.create_histogram("redis_patterns.reconnect.duration", "s", "How long callers waited for one.")
    return {
        ScriptCalled: lambda e: calling.record(e.duration, {"script": e.script, "outcome": e.outcome}),
        Reconnected: lambda e: returning.record(e.duration),
    }


def _of_queues(meter: Meter) -> Callable[[Any, dict[str, str]], None]:
    depth = meter.create_gauge("redis_patterns.queue.depth", "{message}", "Messages of a queue.")
    oldest = meter.create_gauge("redis_patterns.queue.oldest.age", "s", "How long the one that is next was there.")

    def record(stats: QueueStats, named: dict[str, str]) -> None:
        for state in ("ready", "delayed", "leased", "dead"):
            depth.set(getattr(stats, state), named | {"state": state})
        oldest.set(stats.oldest_age or 0, named)

    return record


def _of_groups(meter: Meter) -> Callable[[Any, dict[str, str]], None]:
    lag = meter.create_gauge("redis_patterns.stream.lag", "{message}", "Entries that were not delivered yet.")
    pending = meter.create_gauge("redis_patterns.stream.pending", "{message}", "Entries that are being handled.")
    dead = meter.create_gauge("redis_patterns.stream.dead", "{message}", "Entries that are delivered no more.")
    oldest = meter.create_gauge("redis_patterns.stream.oldest.age", "s", "Age of the oldest that is not done with.")

    def record(stats: GroupStats, named: dict[str, str]) -> None:
        lag.set(stats.lag, named)
        pending.set(stats.pending, named)
        dead.set(stats.dead, named)
        oldest.set(stats.oldest_age or 0, named)

    return record


def _processing(queue: str) -> dict[str, str]:
    return {
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
    }


def _prefixed(attributes: dict[str, str]) -> dict[str, str]:
    return {f"redis_patterns.{name}": value for name, value in attributes.items()}
