"""The scripts of `Lock` against a model: whoever takes it, hands it over, dies, gives up or breaks it, at any time."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.locks import lock
from tests.rate_limits.clock import SHIM, START

LEASE_MS, LISTED_MS = 1000, 5000
TOKENS = st.sampled_from(["a", "b", "c"])
INBOXES = st.sampled_from(["x", "y", "z"])


class Model:
    """What the lock is to do: who holds it, until when, and which clients wait, since when."""

    def __init__(self) -> None:
        self.now, self.holder, self.ends_ms = 0, "", 0
        self.line: dict[str, int] = {}
        self.line_ends_ms = 0

    @property
    def now_ms(self) -> int:
        return self.now // 1000

    def expire(self) -> None:
        if self.now_ms > self.ends_ms:
            self.holder = ""
        if self.now_ms > self.line_ends_ms:
            self.line = {}

    def take(self, token: str, ms: int = LEASE_MS) -> str:
        self.holder, self.ends_ms = token, self.now_ms + ms
        return "held"

    def free(self) -> None:
        """Nobody listens in this test, so whoever is woken is gone, and the next one is woken."""
        self.holder, self.line = "", {}

    def enroll(self, inbox: str, since: int) -> None:
        self.line[inbox], self.line_ends_ms = since, self.now_ms + LISTED_MS

    def acquire(self, token: str, inbox: str | None, waited: int) -> str:
        if self.holder and self.holder != token:
            if inbox:
                self.enroll(inbox, self.now - waited)
            return "wait"
        self.line.pop(inbox or "", None)
        return self.take(token)

    def release(self, token: str, cooldown_ms: int) -> bool:
        if self.holder != token:
            return False
        if cooldown_ms:
            self.take(f"-{token}", cooldown_ms)
        else:
            self.free()
        return True

    def hand_over(self, token: str, heir: str, inbox: str, waited: int) -> str:
        if self.holder != token:
            return "lost"
        first = min(self.line, key=lambda one: (self.line[one], one), default=inbox)
        if first != inbox and self.line[first] < self.now - waited:
            self.free()
            return "freed"
        self.line.pop(inbox, None)
        return self.take(heir)

    def undo(self, token: str, inbox: str) -> bool:
        mine = self.holder == token
        self.line.pop(inbox, None)
        if mine or not self.holder:
            self.free()
        return mine


class Machine(RuleBasedStateMachine):
    """Asks the scripts and the model the same."""

    server: redis.Redis

    @initialize()
    def begin(self) -> None:
        keys = Keys(f"test:{uuid4().hex}")
        self.key, self.fence_key, self.waiters = keys.key("lock"), keys.key("fence"), keys.key("waiters")
        self.model, self.fence = Model(), 0

    def call(self, script: Script, keys: list[str], *args: Any) -> Any:
        self.model.expire()
        text = SHIM.encode() + b"redis.pcall = redis.call\n" + script.source.text
        now = START + self.model.now
        try:
            sha = hashlib.sha1(text, usedforsecurity=False).hexdigest()
            return self.server.evalsha(sha, len(keys), *keys, *args, now)
        except redis.exceptions.NoScriptError:
            return self.server.eval(text, len(keys), *keys, *args, now)

    def see(self, fence: int, token: str) -> None:
        """A fence is new and greater than all before, or that of the token which had the lock already."""
        assert fence == self.fence if self.model.holder == token else fence > self.fence
        self.fence = fence

    @rule(token=TOKENS, inbox=st.none() | INBOXES, waited=st.integers(0, 3_000_000))
    def acquire(self, token: str, inbox: str | None, waited: int) -> None:
        place = (inbox, waited) if inbox else ()
        answer = self.call(lock._ACQUIRE, [self.key, self.fence_key, self.waiters], token, LEASE_MS, "h 1 2 t", *place)
        if answer > 0:
            self.see(answer, token)
        else:
            assert -answer == max(self.model.ends_ms - self.model.now_ms, 1)
        assert ("held" if answer > 0 else "wait") == self.model.acquire(token, inbox, waited)

    @rule(token=TOKENS, cooldown_ms=st.sampled_from([0, 0, 700]))
    def release(self, token: str, cooldown_ms: int) -> None:
        cooldown = (cooldown_ms,) if cooldown_ms else ()
        answer = self.call(lock._RELEASE, [self.key, self.waiters], token, *cooldown)
        assert bool(answer) == self.model.release(token, cooldown_ms)

    @rule(token=TOKENS, heir=st.sampled_from(["d", "e"]), inbox=st.just("") | INBOXES, waited=st.integers(0, 3_000_000))
    def hand_over(self, token: str, heir: str, inbox: str, waited: int) -> None:
        keys = [self.key, self.fence_key, self.waiters]
        answer = self.call(lock._HAND_OVER, keys, token, heir, LEASE_MS, "h 1 2 t", inbox, waited)
        if answer > 0:
            self.see(answer, heir)
        said = "held" if answer > 0 else "lost" if answer else "freed"
        assert said == self.model.hand_over(token, heir, inbox, waited)

    @rule(token=st.sampled_from("abcde"), inbox=st.just("") | INBOXES)
    def undo(self, token: str, inbox: str) -> None:
        answer = self.call(lock._UNDO, [self.key, self.waiters], token, inbox)
        assert bool(answer) == self.model.undo(token, inbox)

    @rule(token=st.sampled_from("abcde"))
    def renew(self, token: str) -> None:
        (answer,) = self.call(lock.RENEW, [self.key], token, LEASE_MS)
        if self.model.holder == token:
            self.see(answer, token)
            self.model.take(token)
        else:
            assert answer == (-1 if self.model.holder else 0)

    @rule()
    def break_it(self) -> None:
        answer = self.call(lock._BREAK, [self.key, self.waiters])
        assert bool(answer) == bool(self.model.holder)
        if answer:
            self.model.free()

    @rule()
    def evict_the_counter(self) -> None:
        self.server.delete(self.fence_key, f"{self.fence_key}:expiry")
        self.model.now += 1000

    @rule(step=st.one_of(st.integers(1, 400_000), st.integers(1, 6_000_000)))
    def pass_time(self, step: int) -> None:
        self.model.now += step

    @rule()
    def look(self) -> None:
        """What the server keeps is what the model has."""
        value, left_ms = self.call(lock.INSPECT, [self.key])
        assert value.decode().partition(" ")[0] == self.model.holder
        assert not value or left_ms == self.model.ends_ms - self.model.now_ms
        line = dict(self.server.zrange(self.waiters, 0, -1, withscores=True)) if self.model.line else {}
        assert {inbox.decode(): int(since) - START for inbox, since in line.items()} == self.model.line


def test_the_scripts_do_what_the_model_says(url: str) -> None:
    """Every answer is the model's: one holder, a fence that only grows, and a line that nobody is forgotten in."""
    with redis.Redis.from_url(url) as server:
        run_state_machine_as_test(
            type("Locks", (Machine,), {"server": server}),
            settings=settings(
                max_examples=settings.default.max_examples // 2,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
