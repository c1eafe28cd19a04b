"""The scripts of `Semaphore` against a model: whoever asks, gives back, dies or is silent, at any time."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, NamedTuple
from uuid import uuid4

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)

from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.locks import semaphore
from tests.rate_limits.clock import SHIM, START

LEASE, HEARD = 1_000_000, 2_500_000  # us


class Claimant(NamedTuple):
    """Who wants permits."""

    token: str
    wanted: int
    inbox: str


class Place(NamedTuple):
    """Where one stands in the line."""

    since: int
    heard_until: int


class Model:
    """What the semaphore is to do: who holds, until when, and who waits, since when."""

    def __init__(self, fair: bool) -> None:
        self.now, self.size, self.fair = 0, 3, fair
        self.held: dict[Claimant, int] = {}
        self.line: dict[Claimant, Place] = {}

    @property
    def free(self) -> int:
        return self.size - sum(holder.wanted for holder in self.held)

    def forget(self) -> None:
        """The dead, and the silent."""
        self.held = {holder: until for holder, until in self.held.items() if until > self.now}
        self.line = {waiter: place for waiter, place in self.line.items() if place.heard_until > self.now}

    def ask(self, claimant: Claimant, *, stays: bool) -> str:
        self.forget()
        since = self.line[claimant].since if stays and claimant in self.line else self.now
        before = sum(other.wanted for other, place in self.line.items() if place.since < since) if self.fair else 0
        if claimant not in self.held:
            if claimant.wanted > self.size:
                return "never"
            if claimant.wanted > self.free - before:
                if stays:
                    self.line[claimant] = Place(since, self.now + HEARD)
                return "wait"
        self.held[claimant] = self.now + LEASE
        if stays:
            self.line.pop(claimant, None)
        return "held"

    def give_back(self, claimant: Claimant, *, leaves: bool) -> bool:
        self.forget()
        if leaves:
            self.line.pop(claimant, None)
        return self.held.pop(claimant, None) is not None

    def renew(self, claimant: Claimant) -> bool:
        if self.held.get(claimant, 0) <= self.now:
            return False
        self.held[claimant] = self.now + LEASE
        return True


class Machine(RuleBasedStateMachine):
    """One semaphore: its model, and its state on the server."""

    server: redis.Redis
    claimants = Bundle("claimants")

    @initialize(fair=st.booleans())
    def begin(self, fair: bool) -> None:
        keys = Keys(uuid4().hex)
        self.keys = [keys.key(part) for part in ("permits", "fence", "line", "heard", "size")]
        self.model, self.number, self.fence, self.fair = Model(fair), 0, 0, int(fair)

    def call(self, script: Script, keys: list[str], *args: Any) -> Any:
        text = SHIM.encode() + b"redis.pcall = redis.call\n" + script.source.text
        now = START + self.model.now
        try:
            sha = hashlib.sha1(text, usedforsecurity=False).hexdigest()
            return self.server.evalsha(sha, len(keys), *keys, *args, now)
        except redis.exceptions.NoScriptError:
            return self.server.eval(text.decode(), len(keys), *keys, *args, now)

    def ask(self, claimant: Claimant, *, stays: bool) -> None:
        place = (claimant.inbox, 0) if stays else ()
        answer = self.call(semaphore._ACQUIRE, self.keys, claimant.token, LEASE // 1000, 3, self.fair, *place)
        said = "held" if answer > 0 else "wait" if answer else "never"
        assert said == self.model.ask(claimant, stays=stays)
        assert answer <= 0 or answer > self.fence
        self.fence = max(self.fence, answer)
        if said != "never":  # which changes nothing
            self.compare()

    @rule(target=claimants, count=st.sampled_from([1, 1, 2, 3, 3, 4]), stays=st.sampled_from([True, True, False]))
    def come(self, count: int, stays: bool) -> Claimant:
        self.number += 1
        self.model.now += 1  # nobody comes at the same time as another
        claimant = Claimant(f"{count}-{self.number}", count, f"inbox{self.number}")
        self.ask(claimant, stays=stays)
        return claimant

    @rule(claimant=claimants, stays=st.booleans())
    def ask_again(self, claimant: Claimant, stays: bool) -> None:
        self.ask(claimant, stays=stays)

    @rule(claimant=claimants)
    def release(self, claimant: Claimant) -> None:
        self.give_back(claimant, leaves=False)

    @rule(claimant=consumes(claimants))
    def give_up(self, claimant: Claimant) -> None:
        self.give_back(claimant, leaves=True)

    def give_back(self, claimant: Claimant, *, leaves: bool) -> None:
        permits, _, *rest = self.keys
        inbox = [claimant.inbox] if leaves else []
        answer = self.call(semaphore._RELEASE, [permits, *rest], claimant.token, 3, self.fair, *inbox)
        assert bool(answer) == self.model.give_back(claimant, leaves=leaves)
        self.compare()

    @rule(claimant=claimants)
    def renew(self, claimant: Claimant) -> None:
        (answer,) = self.call(semaphore._RENEW, self.keys[:1], claimant.token, LEASE // 1000)
        assert bool(answer) == self.model.renew(claimant)

    @rule(size=st.integers(1, 5))
    def resize(self, size: int) -> None:
        permits, _, *rest = self.keys
        held = self.call(semaphore._RESIZE, [permits, *rest], size, self.fair)
        self.model.size = size
        self.model.forget()
        assert held == size - self.model.free
        self.compare()

    @rule(step=st.one_of(st.integers(1, 1000), st.integers(1, 400_000), st.integers(1, 3_000_000)))
    def pass_time(self, step: int) -> None:
        self.model.now += step

    def compare(self) -> None:
        """What the server keeps is what the model has."""
        permits, _, line, heard, size = self.keys
        tokens = [member.decode().split(":")[0] for member, _ in self.entries(permits)]
        assert Counter(tokens) == {holder.token: holder.wanted for holder in self.model.held}
        assert {int(until) - START for _, until in self.entries(permits)} == set(self.model.held.values())
        places = {member.decode(): int(since) - START for member, since in self.entries(line)}
        assert places == {f"{at.wanted} {at.inbox}": place.since for at, place in self.model.line.items()}
        assert len(self.entries(heard)) == len(places)
        assert self.call(semaphore._INSPECT, [permits, size], 3) == self.model.free

    def entries(self, key: str) -> list[tuple[bytes, float]]:
        """Of a sorted set that has not expired."""
        ends = self.server.get(f"{key}:expiry")
        there = ends is not None and START // 1000 + self.model.now // 1000 <= int(ends)
        return self.server.zrange(key, 0, -1, withscores=True) if there else []


def test_the_scripts_do_what_the_model_says(url: str) -> None:
    """Every answer is the model's: no permit too many, none lost, and with fifo nobody overtakes one that waits."""
    with redis.Redis.from_url(url) as server:
        run_state_machine_as_test(
            type("Semaphores", (Machine,), {"server": server}),
            settings=settings(
                max_examples=settings.default.max_examples // 2,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
