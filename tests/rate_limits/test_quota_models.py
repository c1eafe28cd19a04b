"""Quotas against a model: whatever is called, whenever, the scripts say what the model says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from aioredis_patterns._core.periods import Calendar, Per, Period
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.rate_limits import quota, reservation
from tests.rate_limits.clock import SHIM, START

COSTS = st.integers(0, 9)
LEASE_MS = 50_000
HOURS = [3_600_000_000, 86_400_000_000]
STEPS = st.one_of(st.integers(0, 40_000_000), st.sampled_from([0, LEASE_MS * 1000, *HOURS]))


@dataclass
class QuotaModel:
    """What is used and reserved in one period; the next one begins with nothing."""

    limit: int
    period: Period | None = None
    used: int = 0
    reserved: dict[str, tuple[int, int]] = field(default_factory=dict)  # by its id: the cost, and when its lease ends

    def settle(self, period: Period, now: int) -> None:
        """Forget what the server has forgotten by now."""
        if period != self.period:
            self.period, self.used, self.reserved = period, 0, {}
        for name, (cost, ends) in list(self.reserved.items()):
            if ends <= now:
                self.used = max(self.used - cost, 0)
                del self.reserved[name]

    def answer(self, now: int, cost: int, *, allowed: bool | None = None) -> tuple[int, int, int, int]:
        assert self.period is not None
        remaining, left = max(self.limit - self.used, 0), self.period.stop_us - now
        fits = cost <= remaining if allowed is None else allowed
        retry = 0 if fits else -1 if cost > self.limit else left
        return int(fits), remaining, retry, left if self.used else 0

    def take(self, now: int, cost: int) -> tuple[int, int, int, int]:
        fits = cost <= self.limit - self.used
        self.used += cost if fits else 0
        return self.answer(now, cost, allowed=fits)


class Machine(RuleBasedStateMachine):
    """One subject: its model, and its state on the server."""

    server: redis.Redis

    @initialize(limit=st.integers(1, 20), per=st.sampled_from(["day", "week"]))
    def begin(self, limit: int, per: Per) -> None:
        tag = uuid4().hex
        self.keys = (f"{{{tag}}}:quota", f"{{{tag}}}:reserved")
        self.now = START
        self.calendar = Calendar(per, "Europe/Berlin")
        self.model = QuotaModel(limit)
        self.made: list[tuple[str, int, Period]] = []

    def call(self, script: Script, *arguments: Any) -> Any:
        text = SHIM.encode() + script.source.text
        sent = (2, *self.keys, *arguments, self.now)
        try:
            return self.server.evalsha(hashlib.sha1(text, usedforsecurity=False).hexdigest(), *sent)
        except redis.exceptions.NoScriptError:
            return self.server.eval(text, *sent)

    def ask(self, script: Script, *arguments: Any) -> tuple[int, ...]:
        return tuple(self.call(script, self.model.limit, *self.period, *arguments))

    @property
    def period(self) -> Period:
        """The period that runs, with the model brought there."""
        period = self.calendar.containing(self.now)
        self.model.settle(period, self.now)
        return period

    @rule(step=STEPS)
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule()
    def pass_to_the_end(self) -> None:
        self.now = self.period.stop_us - 1
        assert self.ask(quota._PEEK, 1) == self.model.answer(self.now, 1)
        self.now += 1

    @rule(ahead=st.booleans(), cost=COSTS)
    def ask_for_another_period(self, ahead: bool, cost: int) -> None:
        """Whoever takes another period for the present one is told the time, and nothing is written."""
        start, stop = self.period
        wrong = (stop, stop + 1) if ahead else (start - 1, start)
        for script, more in ((quota._HIT, ()), (quota._PEEK, ()), (quota._REFUND, ()), (quota._RESERVE, ("1 a", 9))):
            assert self.call(script, self.model.limit, *wrong, cost, *more)[:2] == [-1, self.now]

    @rule(cost=COSTS.filter(bool))
    def hit(self, cost: int) -> None:
        cost = min(cost, self.model.limit + 1)
        answer = self.ask(quota._HIT, cost)
        assert answer == self.model.take(self.now, cost)

    @rule(cost=COSTS)
    def peek(self, cost: int) -> None:
        cost = min(cost, self.model.limit + 1)
        assert self.ask(quota._PEEK, cost) == self.model.answer(self.now, cost)

    @rule(cost=COSTS)
    def refund(self, cost: int) -> None:
        answer = self.ask(quota._REFUND, cost)
        self.model.used = max(self.model.used - cost, 0)
        if self.model.used == 0:
            self.model.reserved.clear()
        assert answer == self.model.answer(self.now, cost)

    @rule(cost=COSTS.filter(bool), again=st.booleans())
    def reserve(self, cost: int, again: bool) -> None:
        cost = min(cost, self.model.limit + 1)
        name, period = uuid4().hex, self.period
        answer = self.ask(quota._RESERVE, cost, f"{cost} {name}", LEASE_MS)
        assert answer == self.model.take(self.now, cost)
        if answer[0]:
            self.model.reserved[name] = (cost, self.now + LEASE_MS * 1000)
            self.made.append((name, cost, period))
            if again:
                assert self.ask(quota._RESERVE, cost, f"{cost} {name}", LEASE_MS) == answer

    @rule(index=st.integers(0, 5), actual=st.integers(0, 12), again=st.booleans())
    def commit(self, index: int, actual: int, again: bool) -> None:
        if not self.made:
            return
        name, cost, period = self.made.pop(index % len(self.made))
        arguments = (*period, cost, f"{cost} {name}", f"0 {name}", actual, LEASE_MS)
        held = self.call(reservation._SETTLE, *arguments)
        if self.now >= period.stop_us:
            assert held == 0
            return
        self.model.settle(self.period, self.now)
        assert held == (name in self.model.reserved)
        self.model.reserved.pop(name, None)
        self.model.used = max(self.model.used + actual - held * cost, 0)
        if self.model.used == 0:
            self.model.reserved.clear()
        if again and actual:
            assert self.call(reservation._SETTLE, *arguments) == 1
        assert self.ask(quota._PEEK, 1) == self.model.answer(self.now, 1)

    @rule()
    def reset(self) -> None:
        self.call(quota._RESET)
        self.model.used, self.model.reserved = 0, {}


def test_the_scripts_do_what_the_model_says(url: str) -> None:
    """Every answer of a script is its model's, in any order of calls, at any time."""
    with redis.Redis.from_url(url) as server:
        run_state_machine_as_test(
            type("Quota", (Machine,), {"server": server}),
            settings=settings(
                max_examples=settings.default.max_examples // 2,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
