"""Events: what a pattern did, told to a hook of yours, for metrics and logs.

A hook is any callable that takes one event. It is called in the event loop, right where it happened, so it must be
quick and must not await. What it raises is logged and never reaches the pattern. Without a hook no event is made.

    >>> def count(event: object) -> None:
    ...     print(type(event).__name__, event)
    >>> emit(count, CacheRequested(name="users", outcome="hit"))
    CacheRequested CacheRequested(name='users', outcome='hit')

Events say what happened, how it ended and how long it took, in seconds by the client's monotonic clock. They hold no
key, subject, member or lock name, so each attribute has few values and may label a metric as it is: `name` is the
name that the program gave to a limiter or a cache, `pattern` the class at work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

from aioredis_patterns.types import EventHook, ScriptOutcome

__all__ = (
    "CacheLoaded",
    "CacheRequested",
    "LimitDecided",
    "LockAcquired",
    "LockLost",
    "LockReleased",
    "LockTimedOut",
    "PayloadUndecodable",
    "Reconnected",
    "ScriptCalled",
    "SessionTokenReused",
    "emit",
)

_logger = logging.getLogger("aioredis_patterns")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockAcquired:
    """A lock was acquired.

    >>> LockAcquired(pattern="Lock", waited=0.25)
    LockAcquired(pattern='Lock', waited=0.25)
    """

    pattern: str
    #: Seconds from the call to the lease.
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTimedOut:
    """A lock was not free within the caller's timeout.

    >>> LockTimedOut(pattern="Lock", waited=5.0)
    LockTimedOut(pattern='Lock', waited=5.0)
    """

    pattern: str
    #: Seconds from the call to giving up.
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LockReleased:
    """A lock was released by its holder.

    >>> LockReleased(pattern="Lock", held=1.5)
    LockReleased(pattern='Lock', held=1.5)
    """

    pattern: str
    #: Seconds from the lease to its end.
    held: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LockLost:
    """A lease ended while its holder still worked.

    >>> LockLost(pattern="Lock", reason="expired", held=12.0)
    LockLost(pattern='Lock', reason='expired', held=12.0)
    """

    pattern: str
    #: `expired`: renewed too late; `taken`: another holds it; `unreachable`: Redis did not answer in time.
    reason: Literal["expired", "taken", "unreachable"]
    #: Seconds from the lease to its loss.
    held: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitDecided:
    """A rate limiter answered.

    >>> LimitDecided(pattern="TokenBucket", name="api", outcome="denied")
    LimitDecided(pattern='TokenBucket', name='api', outcome='denied')
    """

    pattern: str
    name: str
    #: `error_open` and `error_closed`: Redis failed, and the call was let through or held back.
    outcome: Literal["allowed", "denied", "error_open", "error_closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRequested:
    """A cache was asked for one key.

    >>> CacheRequested(name="users", outcome="coalesced")
    CacheRequested(name='users', outcome='coalesced')
    """

    name: str
    #: `near_hit`: from this process; `stale`: past its ttl; `coalesced`: from a load that another caller had begun.
    outcome: Literal["hit", "near_hit", "stale", "miss", "coalesced", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLoaded:
    """A cache called its loader.

    >>> CacheLoaded(name="users", outcome="stored", duration=0.04)
    CacheLoaded(name='users', outcome='stored', duration=0.04)
    """

    name: str
    #: `discarded`: the value was handed out and not stored, as it was invalidated during the load.
    outcome: Literal["stored", "discarded", "failed"]
    #: Seconds that the loader took.
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadUndecodable:
    """Stored bytes did not decode into the type asked for; a cache goes on as if they were not there.

    >>> PayloadUndecodable(pattern="Cache", name="users")
    PayloadUndecodable(pattern='Cache', name='users')
    """

    pattern: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTokenReused:
    """The token of a session was used long after it had been replaced: somebody has a copy of it.

    >>> SessionTokenReused(name="web", outcome="revoked")
    SessionTokenReused(name='web', outcome='revoked')
    """

    name: str
    #: `revoked`: the session that had been made of it was ended for this; `reported`: it was not, or had ended.
    outcome: Literal["revoked", "reported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnected:
    """A shared connection was lost and opened again, for whoever needed it next.

    >>> Reconnected(attempts=3, duration=0.8)
    Reconnected(attempts=3, duration=0.8)
    """

    #: How often it was tried, the successful time included.
    attempts: int
    #: Seconds from the first of them until it stood: those that callers had to wait.
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptCalled:
    """A script ran.

    >>> ScriptCalled(script="lock_acquire", outcome="ok", duration=0.0004)
    ScriptCalled(script='lock_acquire', outcome='ok', duration=0.0004)
    """

    script: str
    #: `reloaded`: the server had forgotten it and got its text again; `unknown`: its reply was lost; `cancelled`: its
    #: caller waited no longer.
    outcome: ScriptOutcome
    #: Seconds from the call to its end.
    duration: float


def emit(hook: EventHook, event: Any) -> None:
    """Tell the hook of an event; an exception of the hook's is logged to `aioredis_patterns`, and ends there.

    A pattern asks first whether it has a hook, so that without one not even the event is made:
    `if self._on_event is not None: emit(self._on_event, LockReleased(...))`.

    >>> emit(print, LockReleased(pattern="Lock", held=1.5))
    LockReleased(pattern='Lock', held=1.5)
    """
    try:
        hook(event)
    except Exception:
        _logger.exception("the event hook failed on %s", type(event).__name__)
