"""Slots and the line of those who wait against a model: whatever is called, whenever, the scripts say what it says."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.rate_limits import concurrency
from tests.rate_limits.clock import SHIM, START

SILENCE = 2_500_000
LEASES = st.sampled_from([1000, 3000, 7000])
TOKENS = st.sampled_from("abcdef")
LIMITS = st.integers(1, 3)


class Machine(RuleBasedStateMachine):
    """One subject: who is inside and who waits, as the model and as the server has it."""

    server: redis.Redis

    @initialize()
    def begin(self) -> None:
        tag = uuid4().hex
        self.keys = tuple(f"{{{tag}}}:{part}" for part in ("slots", "line", "heard"))
        self.inbox = f"inbox:{tag}"
        self.now = START
        self.slots: dict[str, int] = {}  # by token: when its lease ends
        self.line: dict[str, int] = {}  # by token, the first one first: until when it counts as alive
        self.bell = self.server.pubsub(ignore_subscribe_messages=True)
        self.bell.subscribe(self.inbox)
        self.bell.get_message(timeout=5)

    def teardown(self) -> None:
        if hasattr(self, "bell"):
            self.bell.close()

    def call(self, script: Script, keys: tuple[str, ...], *arguments: Any) -> Any:
        text = SHIM.encode() + script.source.text
        sent = (len(keys), *keys, *arguments, self.now)
        try:
            return self.server.evalsha(hashlib.sha1(text, usedforsecurity=False).hexdigest(), *sent)
        except redis.exceptions.NoScriptError:
            return self.server.eval(text, *sent)

    def settle(self) -> None:
        self.slots = {token: ends for token, ends in self.slots.items() if ends > self.now}
        self.line = {token: until for token, until in self.line.items() if until > self.now}

    def until_end(self, number: int | None = None) -> int:
        """Until so many slots and one more have ended, or all."""
        ends = sorted(self.slots.values())
        index = len(ends) - 1 if number is None else min(number, len(ends) - 1)
        return ends[index] - self.now if ends else 0

    def until_turn(self, number: int) -> int:
        """The same, or until one of those who wait falls silent where nothing is held."""
        silence = min(self.line.values(), default=self.now) - self.now
        return self.until_end(number) if self.slots else silence

    def check_calls(self, free: int) -> None:
        """Those for whom there are slots, and nobody else, are told of them."""
        called: list[str] = []
        self.server.publish(self.inbox, "that is all")
        while (message := self.bell.get_message(timeout=5)) and message["data"] != b"that is all":
            called.append(message["data"].decode())
        assert called == list(self.line)[: max(free, 0)]

    @invariant()
    def the_keys_live_as_long_as_they_say_something(self) -> None:
        lives = [int(self.server.get(f"{key}:expiry") or 0) - self.now // 1000 for key in self.keys]
        for left, last in zip(lives, (self.slots, self.line, self.line), strict=True):
            assert not last or max(last.values()) - self.now <= left * 1000 + 999
        assert max(lives[0] - 7000, lives[1] - 5000, lives[2] - 5000) <= 0

    @rule(step=st.one_of(st.integers(0, 3_000_000), st.sampled_from([SILENCE - 1, SILENCE, 1, 1_000_000, 3_000_000])))
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule(early=st.integers(0, 1))
    def pass_to_the_next_end(self, early: int) -> None:
        self.now += max(self.until_end(0) - early, 0)

    @rule(token=TOKENS, limit=LIMITS, lease=LEASES, backlog=st.integers(0, 3), waits=st.booleans())
    def enter(self, token: str, limit: int, lease: int, backlog: int, waits: bool) -> None:
        inbox = self.inbox if waits else ""
        answer = self.call(concurrency._ENTER, self.keys, limit, token, lease, backlog, inbox)
        self.settle()
        free, again = limit - len(self.slots), token in self.slots
        place = list(self.line).index(token) if waits and token in self.line else None
        ahead = len(self.line) if place is None else place
        if not again and ahead >= free:
            stands = waits and (place is not None or ahead < backlog)
            if stands:
                self.line[token] = self.now + SILENCE
            assert answer == [0, 0, self.until_turn(ahead - max(free, 0)), self.until_end(), stands]
        else:
            self.slots[token] = self.now + lease * 1000
            if waits:
                self.line.pop(token, None)
            free -= not again
            assert answer == [1, max(free - len(self.line), 0), 0, self.until_end(), 0]
        self.check_calls(free)

    @rule(tokens=st.permutations("abcdef"), count=st.integers(2, 6), limit=LIMITS, lease=LEASES)
    def crowd(self, tokens: list[str], count: int, limit: int, lease: int) -> None:
        """Several come at the same moment."""
        for token in tokens[:count]:
            self.enter(token, limit, lease, 3, waits=True)
            self.peek(limit)

    @rule(token=TOKENS, limit=LIMITS)
    def leave(self, token: str, limit: int) -> None:
        held = self.call(concurrency._LEAVE, self.keys, limit, token, self.inbox)
        assert held == (self.slots.pop(token, 0) > self.now)
        self.line.pop(token, None)
        self.settle()
        self.check_calls(limit - len(self.slots))

    @rule(limit=LIMITS)
    def peek(self, limit: int) -> None:
        answer = self.call(concurrency._PEEK, (self.keys[0], self.keys[2]), limit)
        self.settle()
        taken = len(self.slots) + len(self.line)
        retry = 0 if taken < limit else self.until_turn(taken - limit)
        assert answer == [taken < limit, max(limit - taken, 0), retry, self.until_end()]

    @rule(token=TOKENS, lease=LEASES)
    def renew(self, token: str, lease: int) -> None:
        other = f"{self.keys[0]}:of another type"
        self.server.set(other, "", px=60_000)
        answer = self.call(concurrency._RENEW, (self.keys[0], other), token, lease, token, lease)
        self.settle()
        assert answer == [token in self.slots, 0]
        if token in self.slots:
            self.slots[token] = self.now + lease * 1000

    @rule(early=st.integers(0, 1), leaves=st.booleans())
    def come_back_at_the_end(self, early: int, leaves: bool) -> None:
        """The lease that ends first has ended at its very end, and not a microsecond before."""
        ends, token = min(((ends, token) for token, ends in self.slots.items()), default=(self.now, "a"))
        self.now = max(ends - early, self.now)
        if leaves:
            self.leave(token, 1)
        else:
            self.renew(token, 1000)

    @rule()
    def reset(self) -> None:
        self.call(concurrency._RESET, self.keys)
        assert not self.server.exists(*self.keys)
        self.slots, self.line = {}, {}


def test_the_scripts_do_what_the_model_says(url: str) -> None:
    """Every answer is the model's, and who is called is who may enter, in any order of calls, at any time."""
    with redis.Redis.from_url(url) as server:
        run_state_machine_as_test(
            type("Slots", (Machine,), {"server": server}),
            settings=settings(
                max_examples=settings.default.max_examples // 2,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
