"""Flags in the laboratory: each process sees an answered change soon, and the log has all of them in order."""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, final

from redis.asyncio import Redis

from aioredis_patterns.flags import FeatureFlags
from tests.lab.diary import Diary
from tests.lab.history import Call
from tests.lab.pattern import orphans
from tests.lab.patterns.caches import CHECK, SLACK, is_awake, tick, value_of
from tests.lab.patterns.locks import pause

__all__ = ("FLAGS", "Flagging")

TASKS, NAMES = 2, 2

_MOST: Final = 10_000
"""Changes that the log has at least, once there are so many."""


@final
class Flagging:
    """Flags that are changed, and looked at in every process."""

    name = "FeatureFlags"

    async def work(self, redis: Redis, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        """Look much, change a little, and read the log at the end."""
        flags = FeatureFlags(redis, self.name, check=CHECK)
        using = [self._use(flags, diary, rng, until) for _ in range(TASKS)]
        await asyncio.gather(tick(diary, self.name, until), *using)
        with diary.call(self.name, "audit", "") as call:
            changes = await flags.audit(_MOST)
            call.result = [one.after and [one.flag, one.after.revision, *one.after.variants] for one in changes]

    async def _use(self, flags: FeatureFlags, diary: Diary, rng: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            flag = f"flag {rng.randrange(NAMES)}"
            if rng.random() < 0.05:
                with diary.call(self.name, "set", flag) as call:
                    value = f"{diary.worker}:{call.number}"
                    call.result = (await flags.set(flag, percentage=100, variants={value: 1})).revision
            with diary.call(self.name, "look", flag) as call:
                call.result = await flags.variant(flag, "ada")
            await asyncio.sleep(pause(rng))

    def findings(self, history: Sequence[Call]) -> list[str]:
        """Changes that were lost, undone or not in the log, and looks that were too late to see what they saw."""
        ticks: dict[str, list[float]] = defaultdict(list)
        flags: dict[str, list[Call]] = defaultdict(list)
        logs = []
        for call in history:
            if call.operation == "tick":
                ticks[call.worker].append(call.begun)
            elif call.operation == "audit":
                logs += [call] * (call.outcome == "ok")
            else:
                flags[call.arguments[0]].append(call)
        found = []
        for flag, calls in flags.items():
            sets = [call for call in calls if call.operation == "set"]
            found += [*_undone(sets), *_late(calls, sets, ticks)]
            for audit in logs:
                log = [entry[1:] for entry in audit.result if entry and entry[0] == flag]
                # Who changes a flag reads the log afterwards itself; another may have read it before.
                found += _not_in_order(log, [call for call in sets if call.ended <= audit.begun], len(audit.result))
        return found

    async def left(self, redis: Redis) -> list[str]:
        """Keys that nobody needs; flags and their log stay."""
        return await orphans(redis, self.name, ":flags", ":numbers", ":audit")


def _undone(sets: Sequence[Call]) -> Iterator[str]:
    """Changes that were made on what another change had made of the flag already."""
    known = sorted((call for call in sets if call.outcome == "ok"), key=lambda call: call.result)
    for one, other in pairwise(known):
        if one.result == other.result or other.ended < one.begun:
            yield f"revision {one.result} and then {other.result}: {one} and {other}"


def _late(calls: Sequence[Call], sets: Sequence[Call], ticks: dict[str, list[float]]) -> Iterator[str]:
    """Looks that saw what had been changed long before; in the process that changed it, before they began."""
    done = [call for call in sets if call.outcome == "ok"]
    known = {value_of(call): call for call in sets}
    for look in calls:
        if look.operation != "look" or look.outcome != "ok":
            continue
        source = known.get(look.result)
        since = -math.inf if source is None else source.ended if source.outcome == "ok" else math.inf
        late = [one for one in done if since < one.begun and one.ended + _allowed(one, look) < look.begun]
        if late and is_awake(ticks[look.worker], look.begun - _allowed(late[0], look), look.begun):
            yield f"changed long before: {look} after {late[0]}"


def _allowed(change: Call, look: Call) -> float:
    """Seconds that a change may need to be seen: none in the process that made it."""
    return 0 if change.worker == look.worker else 2 * CHECK + SLACK


def _not_in_order(log: Sequence[list[object]], sets: Sequence[Call], size: int) -> Iterator[str]:
    """What is wrong with a log, the last change of which comes first."""
    revisions = [entry[0] for entry in log]
    if size < _MOST and revisions != list(range(len(log), 0, -1)):
        yield f"the log has {revisions}"
    logged = {str(entry[1]): entry[0] for entry in log}
    for call in sets:
        if size < _MOST and call.outcome == "ok" and logged.get(value_of(call)) != call.result:
            yield f"not in the log: {call}"


FLAGS = (Flagging(),)
