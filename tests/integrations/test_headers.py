"""What the fields say of a decision."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from aioredis_patterns import (
    Bans,
    CompositeLimit,
    Decision,
    Fallback,
    FixedWindow,
    Gcra,
    Quota,
    Shadow,
    TokenBucket,
    connect,
)
from aioredis_patterns.integrations.asgi.headers import fields, retry_after

REDIS = connect("redis://localhost:1")
BUCKET = TokenBucket(REDIS, "bucket", limit=100, period=60, burst=200)
WINDOW = FixedWindow(REDIS, "window", limit=100, period=60)
QUOTA = Quota(REDIS, "quota", limit=1000, per="month")


def said(limiter: Any, remaining: int, **more: Any) -> tuple[Any, Decision]:
    options = {"allowed": True, "limit": 200, "retry_after": 0.0, "reset_after": 30.2, "policy": limiter.name} | more
    return limiter, Decision(remaining=remaining, **options)


def told(*decided: tuple[Any, Decision], style: Any = "ietf") -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields(decided, style)}


@pytest.mark.parametrize(
    ("decided", "state"),
    [
        (said(WINDOW, 5), '"window";r=5;t=31'),
        (said(BUCKET, 5), '"bucket";r=5;t=1'),
        (said(BUCKET, 5, reset_after=0.0), '"bucket";r=5;t=0'),
        (said(BUCKET, 150), '"bucket";r=100;t=1'),
        (said(BUCKET, 0, allowed=False, retry_after=2.000001), '"bucket";r=0;t=3'),
        (said(BUCKET, 7, allowed=False, retry_after=inf), '"bucket";r=7;t=31'),
        (said(QUOTA, 999), '"quota";r=999;t=31'),
        (said(WINDOW, 10**16, reset_after=1e16), '"window";r=100;t=999999999999999'),
    ],
)
def test_the_state_is_what_a_client_may_rely_on(decided: Any, state: str) -> None:
    """What is left is never above the quota, and there is more after that long, whatever the kind of the limit."""
    assert told(decided)["ratelimit"] == state


def test_a_period_is_told_where_the_field_can_say_it() -> None:
    """Whole seconds are said, and what is none, or a month of the calendar, is left out."""
    quick = Gcra(REDIS, "quick", limit=5, period=0.5)
    policies = {told(said(limiter, 1))["ratelimit-policy"] for limiter in (WINDOW, BUCKET, quick, QUOTA)}
    assert policies == {'"window";q=100;w=60', '"bucket";q=100;w=60', '"quick";q=5', '"quota";q=1000'}


def test_what_stands_around_a_limit_has_its_policy() -> None:
    """A limit is told of in the same way with anything around it."""
    wrapped = Shadow(Fallback(Bans(WINDOW, after=1, within=1), on_error="open"))
    assert told(said(wrapped, 5)) == told(said(WINDOW, 5))


def test_a_limit_of_ones_own_is_told_of() -> None:
    """What has a name and decides is a limit: its quota is that of its decision."""

    class Own:
        name = "own"

    assert told(said(Own(), 5, limit=9)) == {"ratelimit-policy": '"own";q=9', "ratelimit": '"own";r=5;t=31'}


def test_a_composite_is_told_of_by_its_parts() -> None:
    """All parts are policies, and the state is that of the part that decided."""
    both = CompositeLimit(REDIS, "both", [WINDOW, BUCKET])
    answer = told(said(Shadow(both), 5, policy="bucket"))
    assert answer == {"ratelimit-policy": '"window";q=100;w=60, "bucket";q=100;w=60', "ratelimit": '"bucket";r=5;t=1'}


def test_what_is_not_known_is_not_told() -> None:
    """A limit that was not asked, as Redis fails, has no fields, and others beside it have theirs."""
    for source in ("open", "closed"):
        assert told(said(WINDOW, 0, source=source)) == {}
        assert told(said(WINDOW, 0, source=source), said(BUCKET, 5))["ratelimit"] == '"bucket";r=5;t=1'


def test_a_limit_that_was_asked_twice_is_told_of_once() -> None:
    """Of two decisions of one limit the later one counts."""
    assert told(said(WINDOW, 5), said(WINDOW, 4))["ratelimit"] == '"window";r=4;t=31'


def test_the_older_fields_are_of_the_tightest_limit() -> None:
    """They have room for one limit: the one that denied, or else the one with the least left."""
    denied = said(BUCKET, 7, allowed=False, retry_after=1.0)
    assert told(said(WINDOW, 5), said(BUCKET, 9), style="legacy")["x-ratelimit-remaining"] == "5"
    assert told(said(WINDOW, 5), denied, style="legacy")["x-ratelimit-remaining"] == "7"


@pytest.mark.parametrize(("seconds", "value"), [(0.2, b"1"), (1.0, b"1"), (1.000001, b"2"), (59.5, b"60")])
def test_retry_after_is_never_too_early(seconds: float, value: bytes) -> None:
    """Seconds are rounded up, and there is at least one of them."""
    assert retry_after(said(WINDOW, 0, allowed=False, retry_after=seconds)[1]) == [(b"retry-after", value)]
