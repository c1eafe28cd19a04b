"""Flags against a model: any changes in any order, and every answer is the model's, from the process or from Redis."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from aioredis_patterns.client import connect
from aioredis_patterns.flags import FeatureFlags

NAMES = st.sampled_from(["a", "b", "c", "d"])
USERS = st.sampled_from(["ann", "bob", "cy%{|}", "7"])
GROUPS = st.sets(st.sampled_from(["staff", "beta"]))
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "killed": st.booleans(),
        "percentage": st.one_of(st.sampled_from([0, 100]), st.floats(0, 100)),
        "allow": st.sets(USERS),
        "deny": st.sets(USERS),
        "groups": GROUPS,
        "requires": st.sets(NAMES, max_size=2),
        "salt": st.sampled_from([None, "one", "two"]),
    },
)


@dataclass
class Model:
    """One flag, as it should be."""

    killed: bool = False
    percentage: float = 0
    allow: set[str] = field(default_factory=set)
    deny: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    requires: set[str] = field(default_factory=set)
    salt: str | None = None
    granted: set[str] = field(default_factory=set)


class Machine(RuleBasedStateMachine):
    """The flags of one application, asked and changed here and by a second process."""

    client: Any
    runner: asyncio.Runner

    @initialize()
    def begin(self) -> None:
        name = uuid4().hex
        self.flags, self.others = FeatureFlags(self.client, name), FeatureFlags(self.client, name)
        self.models: dict[str, Model] = {}
        self.changes = 0

    @rule(name=NAMES, change=CHANGES)
    def set(self, name: str, change: dict[str, Any]) -> None:
        if name in change.get("requires", ()):
            with pytest.raises(ValueError, match="must not require itself"):
                self.runner.run(self.flags.set(name, **change))
            return
        self.runner.run(self.flags.set(name, **change))
        model = self.models.setdefault(name, Model())
        vars(model).update(change)
        self.changes += 1

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        assert self.runner.run(self.flags.delete(name)) == (name in self.models)
        self.changes += self.models.pop(name, None) is not None

    @rule(name=NAMES, users=st.sets(USERS, min_size=1), grants=st.booleans())
    def grant(self, name: str, users: set[str], grants: bool) -> None:
        call = (self.flags.grant if grants else self.flags.revoke)(name, *users)
        model = self.models.get(name)
        if model is None:
            with pytest.raises(LookupError):
                self.runner.run(call)
            return
        changed = users - model.granted if grants else users & model.granted
        assert self.runner.run(call) == len(changed)
        model.granted ^= changed
        self.changes += bool(changed)

    @rule(user=st.one_of(st.none(), USERS), groups=GROUPS)
    def ask(self, user: str | None, groups: set[str]) -> None:
        expected = {name: self.decide(name, user, groups) for name in self.models}
        assert self.runner.run(self.flags.all(user, groups=groups)) == expected
        for name, answer in expected.items():
            assert self.runner.run(self.flags.enabled(name, user, groups=groups)) == answer

    @rule(user=USERS)
    def ask_elsewhere(self, user: str) -> None:
        self.runner.run(self.told(user, {name: self.decide(name, user, set()) for name in self.models}))

    async def told(self, user: str, expected: dict[str, bool]) -> None:
        async with asyncio.timeout(5):
            while await self.others.all(user) != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    @rule()
    def audit(self) -> None:
        assert len(self.runner.run(self.flags.audit())) == min(self.changes, 100)

    def decide(self, name: str, user: str | None, groups: set[str], above: tuple[str, ...] = ()) -> bool:
        flag = self.models.get(name)
        if flag is None or flag.killed or name in above or user in flag.deny:
            return False
        if not all(self.decide(other, user, groups, (*above, name)) for other in flag.requires):
            return False
        if user in flag.allow | flag.granted or groups & flag.groups or flag.percentage == 100:
            return True
        text = f"{flag.salt or name}\0rollout\0{user}".encode()
        place = int(blake2b(text, digest_size=8).hexdigest(), 16) % 100_000
        return user is not None and place < round(flag.percentage * 1000)


def test_flags_say_what_the_model_says(url: str) -> None:
    """After any changes in any order, each flag says of each user what its rules say, here and in another process."""
    with asyncio.Runner() as runner:
        client = runner.run(opened(url))
        try:
            run_state_machine_as_test(
                type("Flags", (Machine,), {"client": client, "runner": runner}),
                settings=settings(
                    max_examples=max(settings.default.max_examples // 4, 5),
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(client.aclose())


async def opened(url: str) -> Any:
    return connect(url)
