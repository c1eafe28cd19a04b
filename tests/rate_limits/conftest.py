"""Every kind of limit, and the clock that a test may turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.rate_limits import (
    FixedWindow,
    Gcra,
    LeakyBucket,
    Limiter,
    SlidingLog,
    SlidingWindow,
    TokenBucket,
    limiter,
)
from tests.rate_limits.clock import Clock, Timed

KINDS = {kind.__name__: kind for kind in (FixedWindow, SlidingWindow, SlidingLog, TokenBucket, LeakyBucket, Gcra)}

Kind = Callable[..., Limiter]

# 200,000 steps for each kind, where a test takes half of the examples, of 40 steps each: `nox -s nightly`.
settings.register_profile("nightly", max_examples=10_000, print_blob=True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each kind in turn: a class that is made with redis, name, limit and period."""
    return KINDS[request.param]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that all limits of this test go by."""
    clock = Clock()
    for place in (limiter, Limiter, *KINDS.values()):
        for attribute, script in list(vars(place).items()):
            if isinstance(script, Script):
                monkeypatch.setattr(place, attribute, Timed(script, clock))
    return clock


def backlog_of(kind: Kind, units: int) -> dict[str, int]:
    """The option for a backlog; a leaky bucket has none, as it holds what waits."""
    return {} if kind is LeakyBucket else {"backlog": units}
