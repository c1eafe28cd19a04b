"""Records against a model: any changes in any order leave what a plain dictionary of them has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from aioredis_patterns.client import connect
from aioredis_patterns.documents import Record
from aioredis_patterns.errors import CodecError


@dataclass
class Thing:
    """Something with fields of many kinds."""

    label: str
    count: int = 3
    level: int | None = None
    weight: float = 0.5
    parts: list[str] = field(default_factory=list)


KEYS = st.sampled_from(["a", "b%{|}", "7"])
TEXT = st.text(max_size=5)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "label": TEXT,
    "count": st.integers(-(2**40), 2**40),
    "level": st.one_of(st.none(), st.integers(-5, 5)),
    "weight": st.integers(-64, 64).map(lambda eighths: eighths / 8),
    "parts": st.lists(TEXT, max_size=3),
}
CHANGES = st.fixed_dictionaries({}, optional=VALUES)
THINGS = st.fixed_dictionaries(VALUES).map(lambda values: Thing(**values))


class Machine(RuleBasedStateMachine):
    """A few records, and what they should be."""

    client: Any
    runner: asyncio.Runner

    @initialize()
    def begin(self) -> None:
        self.name = uuid4().hex
        self.records = Record(self.client, self.name, Thing)
        self.model: dict[str, Thing] = {}

    @rule(key=KEYS, thing=THINGS)
    def set(self, key: str, thing: Thing) -> None:
        self.runner.run(self.records.set(key, thing))
        self.model[key] = thing

    @rule(key=KEYS, changes=CHANGES)
    def update(self, key: str, changes: dict[str, Any]) -> None:
        assert self.runner.run(self.records.update(key, **changes)) == (key in self.model)
        self.change(key, changes)

    @rule(key=KEYS, changes=CHANGES)
    def modify(self, key: str, changes: dict[str, Any]) -> None:
        self.change(key, changes)
        found = self.runner.run(self.records.modify(key, lambda thing: replace(thing, **changes)))
        assert found == self.model.get(key)

    @rule(key=KEYS, field=st.sampled_from(["count", "level"]), by=st.integers(-9, 9))
    def increment(self, key: str, field: str, by: int) -> None:
        thing = self.model.get(key)
        if thing is not None and getattr(thing, field) is None:
            with pytest.raises(CodecError):
                self.runner.run(self.records.increment(key, field, by))
            return
        expected = None if thing is None else getattr(thing, field) + by
        assert self.runner.run(self.records.increment(key, field, by)) == expected
        self.change(key, {field: expected})

    @rule(key=KEYS, eighths=st.integers(-9, 9))
    def weigh(self, key: str, eighths: int) -> None:
        expected = self.model[key].weight + eighths / 8 if key in self.model else None
        assert self.runner.run(self.records.increment(key, "weight", eighths / 8)) == expected
        self.change(key, {"weight": expected})

    @rule(key=KEYS, field=st.sampled_from(["count", "level", "weight"]))
    def lose_a_field(self, key: str, field: str) -> None:
        """As when it expires."""
        self.runner.run(self.client.hdel(self.records._keys.key("record", key), field))
        self.change(key, {field: getattr(Thing(""), field)})

    @rule(key=KEYS, old=st.one_of(st.none(), THINGS), new=THINGS)
    def compare_and_set(self, key: str, old: Thing | None, new: Thing) -> None:
        expected = old or self.model.get(key) or new
        done = self.runner.run(self.records.compare_and_set(key, expected, new))
        assert done == (self.model.get(key) == expected)
        if done:
            self.model[key] = new

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert self.runner.run(self.records.delete(key)) == (self.model.pop(key, None) is not None)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.runner.run(self.records.get(key)) == self.model.get(key)

    def change(self, key: str, changes: dict[str, Any]) -> None:
        if key in self.model:
            self.model[key] = replace(self.model[key], **changes)


def test_records_are_as_their_model(url: str) -> None:
    """After any changes in any order, each record has in each field what was last said of it."""
    with asyncio.Runner() as runner:
        client = runner.run(opened(url))
        try:
            run_state_machine_as_test(
                type("Records", (Machine,), {"client": client, "runner": runner}),
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
