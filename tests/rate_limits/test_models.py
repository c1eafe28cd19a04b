"""Each kind of limit against its model: whatever is called, whenever, the script says what the model says."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import connect
from aioredis_patterns.rate_limits import Limiter, limiter
from tests.rate_limits import models
from tests.rate_limits.clock import SHIM, START
from tests.rate_limits.conftest import KINDS

COSTS = st.one_of(st.just(1), st.integers(0, 12))
STEPS = st.one_of(
    st.integers(0, 2),
    st.integers(0, 5000),
    st.integers(0, 2_000_000),
    st.integers(0, 30_000_000),
    st.sampled_from([500_000, 1_000_000]),
)
EARLY = st.integers(0, 1)
LIMITS = st.tuples(
    st.one_of(st.integers(1, 12), st.just(37)),
    st.sampled_from([1_000_000, 7_000_000, 10_000_001, 3_333_333]),
    st.integers(1, 12),
)


class Machine(RuleBasedStateMachine):
    """One subject: its model, and its state on the server."""

    kind: type[Limiter]
    model_of: type[models.Model]
    server: redis.Redis

    @initialize(limit=LIMITS, backlog=st.integers(0, 15))
    def begin(self, limit: tuple[int, int, int], backlog: int) -> None:
        self.key = f"{{{uuid4().hex}}}"
        self.now = START
        self.backlog = backlog
        self.limiter = self.make(*limit)
        self.model = self.model_of(*limit, backlog)

    def make(self, limit: int, period: int, burst: int) -> Limiter:
        options: dict[str, Any] = {"limit": limit, "period": period / 1_000_000}
        if hasattr(self.kind, "burst"):
            options["burst"] = burst
        if self.kind.__name__ != "LeakyBucket":
            options["backlog"] = self.backlog
        return self.kind(connect("redis://localhost:1"), "api", **options)

    def call(self, script: Script, *args: Any) -> Any:
        text = SHIM.encode() + script.source.text
        try:
            return self.server.evalsha(
                hashlib.sha1(text, usedforsecurity=False).hexdigest(), 1, self.key, *args, self.now
            )
        except redis.exceptions.NoScriptError:
            return self.server.eval(text.decode(), 1, self.key, *args, self.now)

    def ask(self, script: Script, *args: int) -> tuple[int, ...]:
        return tuple(self.call(script, *self.limiter._arguments, *args)[:4])

    @invariant()
    def the_state_lives_as_long_as_it_says_something(self) -> None:
        """What is over in 2 ms is over."""
        expiries = int(self.server.get(f"{self.key}:expiry") or -1), self.model.expires_ms
        ends, expected = (max(time - self.now // 1000, 2) for time in expiries)
        assert ends == expected

    @rule(step=STEPS)
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule(cost=COSTS, early=EARLY)
    def come_back_in_time(self, cost: int, early: int) -> None:
        """Neither a microsecond earlier than it may pass nor later."""
        self.now += max(self.model.peek(self.now, cost)[2] - early, 0)
        self.peek(cost)

    @rule(early=EARLY)
    def come_back_when_all_is_over(self, early: int) -> None:
        self.now += max(self.model.peek(self.now, 0)[3] - early, 0)
        self.peek(1)

    @rule(cost=COSTS.filter(bool), charged=st.booleans())
    def hit(self, cost: int, charged: bool) -> None:
        cost = min(cost, self.model.capacity + 1)
        assert self.ask(self.kind._hit, cost, *[1] * charged) == self.model.hit(self.now, cost, charged=charged)

    @rule(more=st.integers(0, 1), charged=st.booleans())
    def use_up(self, more: int, charged: bool) -> None:
        self.hit(max(self.model.peek(self.now, 0)[1] + more, 1), charged)

    @rule(cost=COSTS)
    def peek(self, cost: int) -> None:
        cost = min(cost, self.model.capacity + 1)
        assert self.ask(self.kind._peek, cost) == self.model.peek(self.now, cost)

    @rule(more=st.integers(0, 1))
    def ask_for_all(self, more: int) -> None:
        """What is as much as may ever pass, or more."""
        self.peek(self.model.capacity + more)
        self.reserve(self.model.capacity + more, 0)
        self.hit(self.model.capacity + more, charged=False)

    @rule(more=st.integers(0, 1))
    def refund_all(self, more: int) -> None:
        self.refund(self.model.capacity + more)

    @rule(cost=st.integers(0, 3))
    def refund_when_all_is_used(self, cost: int) -> None:
        self.use_up(0, charged=False)
        self.refund(cost)

    @rule(cost=COSTS)
    def refund(self, cost: int) -> None:
        cost = min(cost, self.model.capacity + 1)
        assert self.ask(self.kind._refund, cost) == self.model.refund(self.now, cost)

    @rule(costs=st.lists(COSTS.filter(bool), min_size=1, max_size=3), cost=st.integers(0, 3))
    def refund_while_others_wait(self, costs: list[int], cost: int) -> None:
        self.use_up(0, charged=False)
        for reserved in costs:
            self.reserve(reserved, -1)
        self.refund(cost)
        self.peek(cost)

    @rule()
    def reset(self) -> None:
        self.call(limiter._RESET)
        self.model.forget()
        self.model.expires_ms = -1

    @rule(limit=LIMITS, backlog=st.integers(0, 15))
    def change(self, limit: tuple[int, int, int], backlog: int) -> None:
        self.backlog = backlog
        self.limiter = self.make(*limit)
        assert self.ask(self.kind._hit, 1) == self.model.change(self.now, *limit, self.backlog)

    @rule(limit=LIMITS)
    def change_what_is_used_up(self, limit: tuple[int, int, int]) -> None:
        self.use_up(0, charged=False)
        self.change(limit, self.backlog)

    @rule(count=st.integers(1, 12), more=st.integers(0, 1))
    def change_the_rate_alone(self, count: int, more: int) -> None:
        """By a hit that is denied, or not."""
        self.use_up(more, charged=False)
        self.change((count, round(self.limiter.period * 1_000_000), self.model.burst), self.backlog)

    @rule(cost=COSTS.filter(bool), patience=st.one_of(st.just(-1), st.just(0), st.integers(0, 20_000_000)))
    def reserve(self, cost: int, patience: int) -> None:
        cost = min(cost, self.model.capacity + 1)
        assert self.ask(self.kind._reserve, cost, patience) == self.model.reserve(self.now, cost, patience)

    @rule(cost=COSTS.filter(bool), early=EARLY)
    def reserve_in_good_time(self, cost: int, early: int) -> None:
        """With as much patience as it takes, or a microsecond less."""
        wait = deepcopy(self.model).reserve(self.now, min(cost, self.model.capacity), -1)[2]
        self.reserve(cost, max(wait - early, 0))

    @rule(costs=st.lists(COSTS.filter(bool), min_size=1, max_size=3), share=st.floats(0, 0.99))
    def reserve_and_cancel(self, costs: list[int], share: float) -> None:
        """The last is given back first; one that is not the last is not given back."""
        made = []
        for wanted in costs:
            cost = min(wanted, self.model.capacity + 1)
            before = deepcopy(self.model)
            reply = self.call(self.kind._reserve, *self.limiter._arguments, cost, -1)
            assert tuple(reply[:4]) == self.model.reserve(self.now, cost, -1)
            if reply[0] and reply[2] > 3000:
                made.append((reply[2], reply[4:], before))
        if not made:
            return
        self.now += int(max(made[0][0] - 3000, 0) * share)
        if made[0][1] != made[-1][1]:
            assert self.call(self.kind._cancel, *made[0][1]) == 0
        for _, ticket, before in reversed(made):
            assert self.call(self.kind._cancel, *ticket) == 1
            self.model = self.model.cancel(self.now, before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scripts_do_what_the_model_says(url: str, kind: str) -> None:
    """Every answer of a script is its model's, in any order of calls, at any time, under any limit."""
    with redis.Redis.from_url(url) as server:
        attributes = {"kind": KINDS[kind], "model_of": getattr(models, f"{kind}Model"), "server": server}
        machine = type(kind, (Machine,), attributes)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=settings.default.max_examples // 2,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
