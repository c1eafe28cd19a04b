"""Quotas against a model: whatever is called, whenever, the scripts say what the model says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

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

    @invariant()
    def the_keys_live_until_the_period_ends(self) -> None:
        for key in self.keys:
            ends = int(self.server.get(f"{key}:expiry") or 0)
            assert ends <= self.now // 1000 or abs(ends - self.period.stop_us // 1000) <= 1

    @rule(step=STEPS)
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule()
    def pass_to_the_end(self) -> None:
        self.now = self.period.stop_us - 1
        assert self.ask(quota._PEEK, 1) == self.model.answer(self.now, 1)
        self.now += 1

    @rule(early=st.integers(0, 1))
    def pass_to_the_end_of_a_lease(self, early: int) -> None:
        ends = [ends for _, ends in self.model.reserved.values() if ends > self.now]
        self.now = min(ends, default=self.now + early) - early
        self.peek(1)

    @rule(ahead=st.booleans(), cost=COSTS)
    def ask_for_another_period(self, ahead: bool, cost: int) -> None:
        """Whoever takes another period for the present one is told the time, and nothing is written."""
        start, stop = self.period
        wrong = (stop, stop + 1) if ahead else (start - 1, start)
        for script, more in ((quota._HIT, ()), (quota._PEEK, ()), (quota._REFUND, ()), (quota._RESERVE, ("1 a", 9))):
            assert self.call(script, self.model.limit, *wrong, cost, *more) == [-1, self.now, 0, 0]

    @rule(cost=COSTS.filter(bool))
    def hit(self, cost: int) -> None:
        cost = min(cost, self.model.limit + 1)
        answer = self.ask(quota._HIT, cost)
        assert answer == self.model.take(self.now, cost)

    @rule(more=st.integers(0, 1))
    def use_up(self, more: int) -> None:
        assert self.period
        self.hit(max(self.model.limit - self.model.used, 0) + more or 1)

    @rule()
    def hit_with_all(self) -> None:
        self.hit(self.model.limit)
        self.peek(self.model.limit)

    @rule(left=st.integers(0, 1))
    def refund_all_but(self, left: int) -> None:
        assert self.period
        self.refund(max(self.model.used - left, 0))
        self.refund(0)
        self.peek(1)

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

    @rule(again=st.booleans())
    def reserve_all_that_is_left(self, again: bool) -> None:
        assert self.period
        self.reserve(max(self.model.limit - self.model.used, 1), again)

    @rule(index=st.integers(0, 5), lease=st.integers(1, 100_000))
    def renew(self, index: int, lease: int) -> None:
        assert self.period
        held = list(self.model.reserved.items())
        name, (cost, _) = held[index % len(held)] if held else ("nobody", (1, 0))
        mine, other = f"{cost} {name}", f"{self.keys[0]}:of another type"
        self.server.set(other, "", px=60_000)
        text = SHIM.encode() + reservation._RENEW.source.text
        answer = self.server.eval(text, 2, self.keys[1], other, mine, lease, mine, lease, self.now)
        assert answer == [bool(held), 0]
        if held:
            self.model.reserved[name] = cost, self.now + lease * 1000

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
        assert self.model.used or actual or not self.server.exists(*self.keys)
        if again and actual:
            self.hit(1)
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
