"""The scripts of `ReadWriteLock` against a model: whoever asks, leaves, dies or is silent, at any time, in any way."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from aioredis_patterns._core.scripts import Script
from aioredis_patterns.locks import queued_lock, read_write_lock
from aioredis_patterns.locks.queued_lock import Line
from tests.rate_limits.clock import SHIM, START

LEASE, LIFE = 1000, 300  # ms


class Waiter(NamedTuple):
    """Who stands in the line."""

    mode: str
    token: str


class Model:
    """What the lock is to do, said in lists: whose turn it is stands in them, not in numbers."""

    def __init__(self) -> None:
        self.now = 0  # ms
        self.writer: str | None = None
        self.writes_until = 0
        self.readers: dict[str, int] = {}
        self.alive: dict[Waiter, int] = {}
        self.upgrading: list[Waiter] = []
        self.next_readers: list[Waiter] = []  # they go in when the writer leaves
        self.writers: list[Waiter] = []
        self.later_readers: list[Waiter] = []  # they go in after the next writer
        self.passed: dict[Waiter, int] = {}  # writers let in since it came

    @property
    def line(self) -> list[Waiter]:
        return [*self.upgrading, *self.next_readers, *self.writers, *self.later_readers]

    def ask(self, waiter: Waiter, stays: bool) -> str:
        self.settle()
        mode, token = waiter
        if mode != "r" and self.writer == token:
            self.writes_until = self.now + LEASE
            return "held"
        if mode == "u" and (token not in self.readers or (self.upgrading and self.upgrading != [waiter])):
            return "refused"
        if mode == "r" and (token in self.readers or not (self.writer or self.line)):
            self.readers[token] = self.now + LEASE
            return "held"
        if mode != "r" and not self.writer and (mode == "u" or not self.line) and not self.readers.keys() - {token}:
            self.write(token, LEASE)
            return "held"
        if stays:
            self.stand(waiter)
        return "wait"

    def stand(self, waiter: Waiter) -> None:
        self.alive[waiter] = self.now + LIFE
        if waiter in self.line:
            return
        self.passed[waiter] = 0
        if waiter.mode == "r":
            (self.next_readers if self.writer else self.later_readers).append(waiter)
        else:
            (self.writers if waiter.mode == "w" else self.upgrading).append(waiter)

    def leave(self, waiter: Waiter) -> None:
        self.alive.pop(waiter, None)
        for part in (self.upgrading, self.next_readers, self.writers, self.later_readers):
            if waiter in part:
                part.remove(waiter)

    def write(self, token: str, lease: int) -> None:
        self.writer, self.writes_until = token, self.now + lease
        self.next_readers, self.later_readers = self.next_readers + self.later_readers, []
        for waiter in self.next_readers:
            self.passed[waiter] += 1

    def release(self, mode: str, token: str) -> bool:
        self.expire()
        wrote, read = self.writer == token, token in self.readers
        if wrote:
            self.writer = None
        self.readers.pop(token, None)
        self.settle()
        return wrote or (mode == "r" and read)

    def undo(self, waiter: Waiter) -> None:
        self.expire()
        if self.writer == waiter.token:
            self.writer = None
        if waiter.mode != "u":
            self.readers.pop(waiter.token, None)
        self.leave(waiter)
        self.settle()

    def downgrade(self, token: str) -> bool:
        self.expire()
        if self.writer != token and token not in self.readers:
            return False
        self.readers[token] = self.now + LEASE
        if self.writer == token:
            self.writer = None
        self.settle()
        return True

    def expire(self) -> None:
        if self.writer and self.now > self.writes_until:
            self.writer = None
        self.readers = {token: until for token, until in self.readers.items() if until > self.now}
        for waiter in [waiter for waiter, until in self.alive.items() if until <= self.now]:
            self.leave(waiter)

    def settle(self) -> None:
        """Forget the dead, and let in who is next."""
        self.expire()
        while self.line and not self.writer:
            first = self.line[0]
            until = self.alive[first]
            if first.mode == "r":
                self.readers[first.token] = until
            elif self.readers.keys() - {first.token}:
                return
            else:
                self.write(first.token, until - self.now)
            self.leave(first)


class Machine(RuleBasedStateMachine):
    """One lock: its model, and its state on the server."""

    server: redis.Redis
    waiters = Bundle("waiters")

    @initialize()
    def begin(self) -> None:
        self.line = Line(uuid4().hex, "arp", 1)
        self.model, self.count, self.fence = Model(), 0, START - 1
        self.fences: dict[str, int] = {}

    def call(self, script: Script, keys: tuple[str, ...], *args: Any) -> Any:
        text = SHIM.encode() + b"redis.pcall = redis.call\n" + script.source.text
        now = START + self.model.now * 1000
        try:
            sha = hashlib.sha1(text, usedforsecurity=False).hexdigest()
            return self.server.evalsha(sha, len(keys), *keys, *args, now)
        except redis.exceptions.NoScriptError:
            return self.server.eval(text, len(keys), *keys, *args, now)

    def ask(self, waiter: Waiter, stays: bool = True) -> None:
        place = ("inbox", LIFE) if stays else ()
        answer = self.call(queued_lock._ACQUIRE, self.line.keys, *waiter, LEASE, "owner", *place)
        assert self.model.ask(waiter, stays) == ("held" if answer > 0 else "wait" if answer else "refused")
        assert -LIFE // 3 <= answer <= 0 or answer > self.fence or answer == self.fences.get(waiter.token)
        if answer > 0:
            self.fences[waiter.token] = answer
            self.fence = max(self.fence, answer)
        self.compare()

    @rule(target=waiters, mode=st.sampled_from("wrr"))
    def come(self, mode: str) -> Any:
        self.count += 1
        waiter = Waiter(mode, f"t{self.count}")
        self.ask(waiter)
        return multiple(waiter)

    @rule(mode=st.sampled_from("wr"))
    def try_once(self, mode: str) -> None:
        self.count += 1
        waiter = Waiter(mode, f"t{self.count}")
        self.ask(waiter, stays=False)
        self.undo(waiter)

    @rule(waiter=waiters)
    def ask_again(self, waiter: Waiter) -> None:
        if waiter.mode == "w" or waiter.token != self.model.writer:  # who has upgraded asks to read no more
            self.ask(waiter)

    @rule(waiter=waiters)
    def upgrade(self, waiter: Waiter) -> None:
        if waiter.mode == "r" and waiter not in self.model.line:
            self.ask(Waiter("u", waiter.token))

    @rule(waiter=consumes(waiters))
    def release(self, waiter: Waiter) -> None:
        answer = self.call(queued_lock._RELEASE, self.line.keys, *waiter)
        assert bool(answer) == self.model.release(*waiter)
        self.undo(waiter)

    @rule(waiter=consumes(waiters))
    def give_up(self, waiter: Waiter) -> None:
        self.undo(waiter)

    @rule(waiter=waiters)
    def give_up_the_upgrade(self, waiter: Waiter) -> None:
        if waiter.mode == "r":
            self.undo(Waiter("u", waiter.token))

    def undo(self, waiter: Waiter) -> None:
        self.call(queued_lock._UNDO, self.line.keys, *waiter, "owner", "inbox")
        self.model.undo(waiter)
        self.compare()

    @rule(waiter=waiters)
    def downgrade(self, waiter: Waiter) -> None:
        answer = self.call(read_write_lock._DOWNGRADE, self.line.keys, waiter.token, LEASE)
        assert bool(answer) == self.model.downgrade(waiter.token)
        self.compare()

    @rule(waiter=waiters)
    def renew_reading(self, waiter: Waiter) -> None:
        (answer,) = self.call(queued_lock.READING, (self.line.readers,), waiter.token, LEASE)
        assert bool(answer) == (self.model.readers.get(waiter.token, 0) > self.model.now)
        if answer:
            self.model.readers[waiter.token] = self.model.now + LEASE

    @rule(step=st.one_of(st.integers(1, 150), st.integers(1, 1200)))
    def pass_time(self, step: int) -> None:
        self.model.now += step

    def compare(self) -> None:
        """What the server keeps is what the model has; only now, since both forget the dead when they are asked."""
        lock, _, readers, line, beats = self.line.keys
        held = self.server.get(lock) if self.is_there(lock) else None
        assert (held.decode().split(" ")[0] if held else None) == self.model.writer
        reading = dict(self.server.zscan_iter(readers)) if self.is_there(readers) else {}
        ends = {token.decode(): (int(until) - START) // 1000 for token, until in reading.items()}
        assert ends == self.model.readers
        waiting = self.server.zrange(line, 0, -1) if self.is_there(line) else []
        assert [Waiter(*entry.decode().split(" ")[:2]) for entry in waiting] == self.model.line
        assert (self.server.zcard(beats) if self.is_there(beats) else 0) == len(waiting)
        assert not self.model.writer or not self.model.readers.keys() - {self.model.writer}

    def is_there(self, key: str) -> bool:
        """Whether a key has not expired."""
        ends = self.server.get(f"{key}:expiry")
        return ends is not None and START // 1000 + self.model.now <= int(ends)

    @invariant()
    def a_reader_waits_for_one_writer(self) -> None:
        """Beside the one that writes when it comes."""
        if hasattr(self, "model"):
            assert all(self.model.passed[waiter] <= 1 for waiter in self.model.line if waiter.mode == "r")


def test_the_scripts_do_what_the_model_says(url: str, request: pytest.FixtureRequest) -> None:
    """Every answer is the model's, nobody is beside a writer, and no reader waits for a second one."""
    with redis.Redis.from_url(url) as server:
        run_state_machine_as_test(
            type("ReadWrite", (Machine,), {"server": server}),
            settings=settings(
                max_examples=settings.default.max_examples // 2,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
