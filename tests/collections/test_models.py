"""A graph and an index of tags against models: any changes in any order leave what plain sets of them have."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from aioredis_patterns.client import connect
from aioredis_patterns.collections import SocialGraph, TagIndex

PEOPLE = st.sampled_from(["ada", "bob", "{cy}", "d|%", "7"])
ITEMS = st.sampled_from(["p1", "p{2}", "3"])
TAGS = st.sampled_from(["red", "big", "{a|b}", "0"])
SOME_TAGS = st.lists(TAGS, max_size=3)


class Graph(RuleBasedStateMachine):
    """A few people, and who follows whom."""

    client: Any
    runner: asyncio.Runner

    @initialize()
    def begin(self) -> None:
        self.graph = SocialGraph(self.client, uuid4().hex)
        self.model: set[tuple[str, str]] = set()

    @rule(one=PEOPLE, other=PEOPLE)
    def follow(self, one: str, other: str) -> None:
        if one == other:
            with pytest.raises(ValueError, match="cannot follow"):
                self.runner.run(self.graph.follow(one, other))
            return
        assert self.runner.run(self.graph.follow(one, other)) == ((one, other) not in self.model)
        self.model.add((one, other))

    @rule(one=PEOPLE, other=PEOPLE)
    def unfollow(self, one: str, other: str) -> None:
        if one != other:
            assert self.runner.run(self.graph.unfollow(one, other)) == ((one, other) in self.model)
            self.model.discard((one, other))

    @rule(one=PEOPLE)
    def look(self, one: str) -> None:
        following, followers = self.followed_by(one), {who for who, whom in self.model if whom == one}
        for found, expected in (
            (self.runner.run(self.graph.following(one)), following),
            (self.runner.run(self.graph.followers(one)), followers),
        ):
            assert (found.people, found.cursor, found.count) == (sorted(expected), 0, len(expected))

    @rule(one=PEOPLE, other=PEOPLE)
    def follows(self, one: str, other: str) -> None:
        assert self.runner.run(self.graph.follows(one, other)) == ((one, other) in self.model)

    @rule(one=PEOPLE, other=PEOPLE)
    def mutual(self, one: str, other: str) -> None:
        expected = sorted(self.followed_by(one) & self.followed_by(other))
        assert self.runner.run(self.graph.mutual(one, other)) == expected

    @rule(one=PEOPLE)
    def suggestions(self, one: str) -> None:
        known = self.followed_by(one)
        common: dict[str, int] = {}
        for friend in known:
            for other in self.followed_by(friend) - known - {one}:
                common[other] = common.get(other, 0) + 1
        found = self.runner.run(self.graph.suggestions(one))
        assert [(each.member, each.common) for each in found] == sorted(common.items(), key=lambda it: (-it[1], it[0]))

    def followed_by(self, one: str) -> set[str]:
        return {whom for who, whom in self.model if who == one}


class Index(RuleBasedStateMachine):
    """A few items, and their tags."""

    client: Any
    runner: asyncio.Runner

    @initialize()
    def begin(self) -> None:
        self.index = TagIndex(self.client, uuid4().hex)
        self.model: dict[str, set[str]] = {}

    @rule(item=ITEMS, tags=st.lists(TAGS, min_size=1, max_size=3))
    def add(self, item: str, tags: list[str]) -> None:
        self.runner.run(self.index.add(item, *tags))
        self.model.setdefault(item, set()).update(tags)

    @rule(item=ITEMS, tags=SOME_TAGS)
    def remove(self, item: str, tags: list[str]) -> None:
        had = self.model.get(item, set())
        gone = had & set(tags) if tags else set(had)
        assert self.runner.run(self.index.remove(item, *tags)) == len(gone)
        if not tags:
            self.model.pop(item, None)
        elif item in self.model:
            self.model[item] -= gone
            if not self.model[item]:
                del self.model[item]

    @rule(item=ITEMS)
    def tags(self, item: str) -> None:
        assert self.runner.run(self.index.tags(item)) == sorted(self.model.get(item, set()))

    @rule(every=SOME_TAGS, some=SOME_TAGS, none=SOME_TAGS)
    def find(self, every: list[str], some: list[str], none: list[str]) -> None:
        expected = sorted(
            item
            for item, tags in self.model.items()
            if set(every) <= tags and (not some or tags & set(some)) and not tags & set(none)
        )
        assert self.runner.run(self.index.find(all=every, any=some, none=none)) == expected


@pytest.mark.parametrize("machine", [Graph, Index])
def test_collections_are_as_their_models(url: str, machine: type[RuleBasedStateMachine]) -> None:
    """After any changes in any order, each question has the answer that plain sets give."""
    with asyncio.Runner() as runner:
        client = runner.run(opened(url))
        try:
            run_state_machine_as_test(
                type(machine.__name__, (machine,), {"client": client, "runner": runner}),
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
