"""What is tied in the laboratory: a tie is seen from both sides until it is undone, and then no more."""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol, TypeAlias, final

from redis.asyncio import Redis

from aioredis_patterns.client.pipelined_cluster import PipelinedCluster
from aioredis_patterns.collections import SocialGraph, TagIndex
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.patterns.locks import pause

__all__ = ("RELATIONS", "Relating")

TASKS = 2
WINDOW = 10.0
"""Seconds that a name is used, so that a judge has not too much to compare."""

ITEMS, TAGS = ("p1", "p2", "p3"), ("red", "big", "new")
PEOPLE = ("ada", "bob", "cy", "dee")

Tie: TypeAlias = tuple[str, str]
"""An item and its tag; one who follows, and whom."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a call tells: that all of some ties are there, one of others, and none of the last, or that it is not so."""

    so: bool
    all: Sequence[Tie] = ()
    any: Sequence[Tie] = ()
    none: Sequence[Tie] = ()


class Relation(Protocol):
    """What ties things."""

    #: How its keys are called that see ties from the near and the far side, and those that have everyone who is tied.
    sides: tuple[str, ...]

    async def act(self, redis: Redis, name: str, diary: Diary, rng: random.Random) -> None:
        """Make one call, whose first argument is the name."""
        ...

    def changed(self, call: Call) -> tuple[bool, list[Tie]]:
        """Whether a call makes ties or undoes them, and which."""
        ...

    def told(self, call: Call) -> Iterator[Told]:
        """What its answer tells."""
        ...


@final
class Tagging:
    """Items and their tags."""

    sides: tuple[str, ...] = ("tags", "tagged", "items")

    async def act(self, redis: Redis, name: str, diary: Diary, rng: random.Random) -> None:
        index, item, tags = TagIndex(redis, name), rng.choice(ITEMS), rng.sample(TAGS, len(TAGS))
        match rng.choices(("add", "remove", "forget", "tags", "find"), (8, 4, 2, 3, 6))[0]:
            case "add":
                some = tags[: rng.choice((1, 1, 2))]
                with diary.call("TagIndex", "add", name, item, *some):
                    await index.add(item, *some)
            case "remove":
                with diary.call("TagIndex", "remove", name, item, tags[0]) as call:
                    call.result = await index.remove(item, tags[0])
            case "forget":
                with diary.call("TagIndex", "remove", name, item) as call:
                    call.result = await index.remove(item)
            case "tags":
                with diary.call("TagIndex", "tags", name, item) as call:
                    call.result = await index.tags(item)
            case _:
                search: dict[str, list[str]] = {"all": [], "any": [], "none": []}
                for tag in tags:
                    search[rng.choice(("all", "any", "none"))].append(tag)
                with diary.call("TagIndex", "find", name, search) as call:
                    call.result = await index.find(**search)

    def changed(self, call: Call) -> tuple[bool, list[Tie]]:
        if call.operation not in ("add", "remove"):
            return False, []
        _, item, *tags = call.arguments
        return call.operation == "add", [(item, tag) for tag in tags or TAGS]

    def told(self, call: Call) -> Iterator[Told]:
        if call.operation == "remove":
            yield Told(call.result > 0, any=self.changed(call)[1])
        elif call.operation == "tags":
            yield from (Told(tag in call.result, [(call.arguments[1], tag)]) for tag in TAGS)
        elif call.operation == "find":
            for item in ITEMS:
                search = {how: [(item, tag) for tag in tags] for how, tags in call.arguments[1].items()}
                if not search["all"]:
                    search["any"] = search["any"] or [(item, tag) for tag in TAGS]  # without a tag it is no item
                yield Told(item in call.result, **search)


@final
class Following:
    """People, and whom they follow."""

    sides: tuple[str, ...] = ("following", "followers")

    async def act(self, redis: Redis, name: str, diary: Diary, rng: random.Random) -> None:
        graph, (one, other) = SocialGraph(redis, name), rng.sample(PEOPLE, 2)
        what = rng.choices(("follow", "unfollow", "follows", "following", "followers", "mutual"), (6, 4, 2, 3, 3, 3))[0]
        with diary.call("SocialGraph", what, name, one, other) as call:
            match what:
                case "follow" | "unfollow" | "follows":
                    call.result = await getattr(graph, what)(one, other)
                case "mutual":
                    call.result = await graph.mutual(one, other)
                case _:
                    call.result = (await getattr(graph, what)(one)).people

    def changed(self, call: Call) -> tuple[bool, list[Tie]]:
        _, one, other = call.arguments
        return call.operation == "follow", [(one, other)] * call.operation.endswith("follow")

    def told(self, call: Call) -> Iterator[Told]:
        _, one, other = call.arguments
        if isinstance(call.result, bool):  # as to `follow`, that it is new is that it was not so
            yield Told(call.result == (call.operation != "follow"), [(one, other)])
            return
        for whom in PEOPLE:
            ties = {
                "following": [(one, whom)],
                "followers": [(whom, one)],
                "mutual": [(one, whom), (other, whom)],
            }
            yield Told(whom in call.result, ties[call.operation])


@dataclass(slots=True)
class Changes:
    """The calls that made ties, and those that undid them."""

    made: dict[Tie, list[Call]] = field(default_factory=lambda: defaultdict(list))
    undone: dict[Tie, list[Call]] = field(default_factory=lambda: defaultdict(list))

    def contradict(self, call: Call, told: Told) -> bool:
        """Whether it can be so at no moment of the call."""
        if told.so:
            return (
                not all(self._may_be(tie, True, call) for tie in told.all)
                or (bool(told.any) and not any(self._may_be(tie, True, call) for tie in told.any))
                or not all(self._may_be(tie, False, call) for tie in told.none)
            )
        return not (
            any(self._may_be(tie, False, call) for tie in told.all)
            or (bool(told.any) and all(self._may_be(tie, False, call) for tie in told.any))
            or any(self._may_be(tie, True, call) for tie in told.none)
        )

    def _may_be(self, tie: Tie, there: bool, look: Call) -> bool:
        """Whether a tie may have been there, or not there, at some moment of a call."""
        towards, away = (self.made, self.undone) if there else (self.undone, self.made)
        last = max((call.begun for call in away[tie] if call.outcome == "ok" and call.ended < look.begun), default=None)
        if last is None and not there:
            return True  # as it was in the beginning
        since = -math.inf if last is None else last
        return any(_end(call) >= since and call.begun < look.ended for call in towards[tie] if call is not look)


def _end(call: Call) -> float:
    """Until when it may have changed something."""
    return call.ended if call.outcome == "ok" else math.inf


@dataclass(frozen=True, slots=True)
class Relating:
    """Ties that are made, undone and looked at by all.

    Args:
        name: Of the pattern.
        relation: What ties.
    """

    name: str
    relation: Relation

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Do one thing after the other, from some tasks."""
        await asyncio.gather(*[self._act(redis, diary, rng, until) for _ in range(TASKS)])

    async def _act(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            await self.relation.act(redis, f"{self.name}:{int(monotonic() / WINDOW)}", diary, rng)
            await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Ties that were seen and cannot have been there, and those that were there and were not seen."""
        named: dict[str, Changes] = defaultdict(Changes)
        for call in history:
            makes, ties = self.relation.changed(call)
            for tie in ties if call.outcome != "fail" else ():
                changes = named[call.arguments[0]]
                (changes.made if makes else changes.undone)[tie].append(call)
        return [
            f"{'there' if told.so else 'not there'}: {told} by {call}"
            for call in history
            if call.outcome == "ok"
            for told in self.relation.told(call)
            if named[call.arguments[0]].contradict(call, told)
        ]

    async def left(self, redis: Redis) -> list[str]:
        """Ties that only one side has, and items that are known as such and have no tag, or the other way round."""
        near, far, *whole = self.relation.sides
        everywhere = redis.cluster_client if isinstance(redis, PipelinedCluster) else redis
        sides: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
        async for key in everywhere.scan_iter(match=f"arp:{{{self.name}:*", count=1000):
            name, _, rest = key.decode().partition("}:")
            side, _, one = rest.partition(":")
            members: Any = await redis.smembers(key)
            for member in members:
                sides[side].add((name, member.decode(), one) if side == far else (name, one, member.decode()))
        odd = sides[near] ^ sides[far]
        for part in whole:
            odd |= sides[part] ^ {(name, "", one) for name, one, _ in sides[near]}
        odd |= {("a key that is none", side, "") for side in sides.keys() - set(self.relation.sides)}
        return [f"only one side has {tie}" for tie in sorted(odd)]


RELATIONS = (Relating("TagIndex", Tagging()), Relating("SocialGraph", Following()))
