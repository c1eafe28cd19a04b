"""The steps of the tour."""

from __future__ import annotations

from typing import Final

from . import (
    bans,
    caches,
    collections,
    composite,
    concurrency,
    counters,
    documents,
    feeds,
    flags,
    leaderboards,
    leading,
    locks,
    meeting,
    queues,
    quota,
    rate_limits,
    sessions,
    stores,
    streams,
    transport,
    turns,
    web,
)
from .step import Step

__all__ = ("STEPS",)

STEPS: Final[tuple[Step, ...]] = (
    transport.STEP,
    locks.STEP,
    turns.STEP,
    leading.STEP,
    meeting.STEP,
    *rate_limits.STEPS,
    composite.STEP,
    bans.STEP,
    concurrency.STEP,
    quota.STEP,
    caches.STEP,
    stores.STEP,
    queues.STEP,
    feeds.STEP,
    streams.STEP,
    leaderboards.STEP,
    counters.STEP,
    collections.STEP,
    flags.STEP,
    documents.STEP,
    sessions.STEP,
    web.STEP,
)
"""In the order in which they are shown."""
