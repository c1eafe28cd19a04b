"""The leaderboard against a model: any calls in any order, in every order of ranks and ties."""

from __future__ import annotations

import asyncio
from typing import Any, Literal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from aioredis_patterns.client import connect
from aioredis_patterns.leaderboards import Leaderboard

MEMBERS = st.sampled_from([f"m{number}" for number in range(8)])
SCORES = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -0.5, 2**53, -(2**53)]))

Verb = Literal["set", "increment", "submit"]


class Machine(RuleBasedStateMachine):
    """One board and its model: scores, and the order in which they were reached."""

    url: str
    options: dict[str, Any]

    @initialize()
    def begin(self) -> None:
        self.name = uuid4().hex
        self.scores: dict[str, float] = {}
        self.turns: dict[str, int] = {}
        self.turn = 0

    def ask(self, method: str, *args: Any) -> Any:
        async def once() -> Any:
            async with connect(self.url) as redis:
                return await getattr(Leaderboard(redis, self.name, **self.options), method)(*args)

        return self.runner.run(once())

    runner: asyncio.Runner

    @rule(verb=st.sampled_from(["set", "increment", "submit"]), member=MEMBERS, score=SCORES)
    def put(self, verb: Verb, member: str, score: float) -> None:
        old = self.scores.get(member)
        new = float(score) if verb != "increment" else (old or 0.0) + score
        whole = float(old or 0).is_integer() and float(score).is_integer()
        if verb == "increment" and whole and abs(int(old or 0) + int(score)) > 2**53:
            with pytest.raises(OverflowError):
                self.ask(verb, member, score)
            return
        told = self.ask(verb, member, score)
        if verb == "submit" and old is not None:
            new = max(old, new) if self.options["order"] == "desc" else min(old, new)
        assert told == {"set": None, "increment": new, "submit": new != old}[verb]
        if new != old:
            self.turn += 1
            self.scores[member], self.turns[member] = new, self.turn
        for worst in self.ranked()[6:]:
            del self.scores[worst]

    @rule(member=MEMBERS)
    def remove(self, member: str) -> None:
        assert self.ask("remove", member) == int(self.scores.pop(member, None) is not None)

    @rule(member=MEMBERS, count=st.integers(1, 9))
    def look(self, member: str, count: int) -> None:
        rows = [(name, self.scores[name], self.rank(name)) for name in self.ranked()]
        seen = [(row.member, row.score, row.rank) for row in self.ask("top", 99)]
        assert seen == rows
        around = [row.member for row in self.ask("around", member, count)]
        assert len(around) == (min(count, len(rows)) if member in self.scores else 0)
        assert (member in around) == (member in self.scores)
        assert self.ask("rank", member) == (self.rank(member) if member in self.scores else None)

    def ranked(self) -> list[str]:
        """Everybody, the best first."""
        down = self.options["order"] == "desc"
        if self.options["ties"] == "first":
            return sorted(
                self.scores, key=lambda name: (-self.scores[name] if down else self.scores[name], self.turns[name])
            )
        return sorted(self.scores, key=lambda name: (self.scores[name], name), reverse=down)

    def rank(self, member: str) -> int:
        if self.options["rank_mode"] == "ordinal":
            return self.ranked().index(member) + 1
        mine, down = self.scores[member], self.options["order"] == "desc"
        better = [score for score in self.scores.values() if (score > mine if down else score < mine)]
        return len(set(better) if self.options["rank_mode"] == "dense" else better) + 1


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("ties", ["shared", "first"])
@pytest.mark.parametrize("rank_mode", ["ordinal", "competition", "dense"])
def test_the_board_is_as_its_model(url: str, order: str, ties: str, rank_mode: str) -> None:
    """After any calls in any order, ranks, ties and the cap are those of the model."""
    options = {"order": order, "ties": ties, "rank_mode": rank_mode, "maxlen": 6}
    with asyncio.Runner() as runner:
        machine = type("Board", (Machine,), {"url": url, "options": options, "runner": runner})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=max(settings.default.max_examples // 20, 5),
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
