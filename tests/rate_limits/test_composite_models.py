"""Several limits decided together, against the conjunction of their models."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client import connect
from aioredis_patterns.rate_limits import CompositeLimit, Limiter, composite
from tests.rate_limits import models
from tests.rate_limits.clock import SHIM, START
from tests.rate_limits.conftest import KINDS
from tests.rate_limits.test_models import COSTS, LIMITS, STEPS

PARTS = st.lists(
    st.tuples(st.sampled_from(sorted(KINDS)), LIMITS), min_size=1, max_size=4, unique_by=lambda part: part[0]
)
INDEX = st.integers(0, 3)


class Machine(RuleBasedStateMachine):
    """Some parts with their models, and their states on the server."""

    server: redis.Redis

    @initialize(parts=PARTS)
    def begin(self, parts: list[tuple[str, tuple[int, int, int]]]) -> None:
        self.now = START
        self.parts = [make(kind, *limit) for kind, limit in parts]
        self.limit = CompositeLimit(connect("redis://localhost:1"), "api", self.parts)
        self.models = [getattr(models, f"{kind}Model")(*limit, 0) for kind, limit in parts]
        self.keys = [f"{{{uuid4().hex}}}" for _ in parts]

    def call(self, script: Script, keys: list[str], *arguments: Any) -> Any:
        text = SHIM.encode() + script.source.text
        sent = (len(keys), *keys, *arguments, self.now)
        try:
            return self.server.evalsha(hashlib.sha1(text, usedforsecurity=False).hexdigest(), *sent)
        except redis.exceptions.NoScriptError:
            return self.server.eval(text, *sent)

    def ask(self, script: Script, costs: list[int]) -> list[tuple[int, ...]]:
        told = [word for told, cost in zip(self.limit._told, costs, strict=True) for word in (1, told, cost)]
        reply = self.call(script, self.keys, *told)
        return [tuple(reply[i : i + 4]) for i in range(0, len(reply), 4)]

    def costs_of(self, costs: list[int]) -> list[int]:
        return [min(cost, model.capacity + 1) for cost, model in zip(costs, self.models, strict=False)]

    @rule(step=STEPS)
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule(costs=st.lists(COSTS, min_size=4, max_size=4))
    def come_back_in_time(self, costs: list[int]) -> None:
        """After the longest wait the hit passes, and 2 ms earlier it does not."""
        costs = self.costs_of(costs)
        waits = [answer[2] for answer in self.ask(composite._PEEK, costs)]
        if min(waits) < 0:
            return
        if max(waits) > 2000:
            self.now += max(waits) - 2000
            assert not all(answer[0] for answer in self.ask(composite._PEEK, costs))
            self.now += 2000
        else:
            self.now += max(waits)
        assert all(answer[0] for answer in self.ask(composite._PEEK, costs))

    @rule(costs=st.lists(COSTS, min_size=4, max_size=4))
    def hit(self, costs: list[int]) -> None:
        costs = self.costs_of(costs)
        pairs = list(zip(self.models, costs, strict=True))
        peeked = [model.peek(self.now, cost) for model, cost in pairs]
        if all(answer[0] for answer in peeked):
            peeked = [model.hit(self.now, cost) if cost else model.peek(self.now, 0) for model, cost in pairs]
        assert self.ask(composite._HIT, costs) == peeked

    @rule(costs=st.lists(COSTS, min_size=4, max_size=4))
    def peek(self, costs: list[int]) -> None:
        costs = self.costs_of(costs)
        pairs = zip(self.models, costs, strict=True)
        assert self.ask(composite._PEEK, costs) == [model.peek(self.now, cost) for model, cost in pairs]

    @rule(costs=st.lists(COSTS, min_size=4, max_size=4))
    def refund(self, costs: list[int]) -> None:
        costs = self.costs_of(costs)
        pairs = zip(self.models, costs, strict=True)
        assert self.ask(composite._REFUND, costs) == [model.refund(self.now, cost) for model, cost in pairs]

    @rule(index=INDEX, cost=COSTS.filter(bool))
    def hit_a_part_alone(self, index: int, cost: int) -> None:
        index %= len(self.parts)
        part, model = self.parts[index], self.models[index]
        cost = min(cost, model.capacity + 1)
        answer = self.call(part._hit, [self.keys[index]], *part._arguments, cost)
        assert tuple(answer) == model.hit(self.now, cost)

    @rule()
    def reset(self) -> None:
        self.call(composite._RESET, self.keys)
        for model in self.models:
            model.forget()
            model.expires_ms = -1


def make(kind: str, limit: int, period: int, burst: int) -> Limiter:
    options: dict[str, Any] = {"limit": limit, "period": period / 1_000_000}
    if hasattr(KINDS[kind], "burst"):
        options["burst"] = burst
    if kind != "LeakyBucket":
        options["backlog"] = 0
    return KINDS[kind](connect("redis://localhost:1"), kind, **options)


def test_a_composite_is_the_conjunction_of_its_parts(url: str) -> None:
    """Every answer is that of the models of all parts, of which a hit changes all or none, in any order of calls."""
    with redis.Redis.from_url(url) as server:
        run_state_machine_as_test(
            type("Composite", (Machine,), {"server": server}),
            settings=settings(
                max_examples=settings.default.max_examples // 4,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
