"""Renewal of leases: one timer per client, one script call per hundred holds.

A hold is renewed when a third of its lease has passed. The answer is one of four: renewed; lost, because it is gone or
another's; or unknown, when Redis did not answer. Unknown never extends what the holder believes: it is asked again
until the lease that was confirmed last has run out, and then the hold is lost, no later than the server forgets it.

Holds are referred to weakly: one that its owner dropped without releasing it is not renewed, and ends with its lease.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterable, Iterator
from itertools import islice
from time import monotonic
from typing import Any, Final, Literal, Protocol, TypeAlias, final
from weakref import ref

from redis.exceptions import RedisError

from aioredis_patterns._core.keys import slot
from aioredis_patterns._core.tasks import BackgroundTasks
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.cluster import ClusterLink
from aioredis_patterns.errors import PatternError
from aioredis_patterns.types import AnyRedis, Seconds

__all__ = ("BATCH", "Hold", "LossReason", "Renewal", "Renewals")

BATCH: Final = 100
"""Holds per script call."""

_RESOLUTION: Final = 0.001
"""Seconds; holds that are due together are renewed together."""

LossReason: TypeAlias = Literal["expired", "taken", "unreachable"]
"""Why a hold ended: its time ran out, another has it, or Redis did not answer in time."""


class Renewal(Protocol):
    """What renews holds: a script of one server, or what asks several."""

    def taking(self, keys: int) -> Renewal: ...

    def __call__(
        self, redis: AnyRedis, *keys_and_args: str | bytes | int, deadline: Seconds | None = None
    ) -> Coroutine[Any, Any, Any]: ...


class Hold(Protocol):
    """What is renewed. Times are those of `time.monotonic`.

    Its renewal script takes one key per hold and, per hold, two arguments: token and lease in ms. It answers a list
    with, per hold, a positive integer when renewed, 0 when it is gone, -1 when it is another's.
    """

    token: str
    patience: float  #: seconds from one renewal to the next; the same for holds of the same kind
    due: float  #: when it is to be renewed, or is over when it must not be
    valid_until: float

    @property
    def redis(self) -> AnyRedis: ...

    @property
    def renewal(self) -> Renewal: ...

    @property
    def key(self) -> str: ...

    def next_lease_ms(self) -> int:
        """For how long to renew it; 0 when it must not live longer than it does."""
        ...

    def on_renewed(self, sent: float, lease_ms: int) -> bool:
        """It was renewed, by a call sent at this time; whether it is still wanted."""
        ...

    def on_lost(self, reason: LossReason) -> None:
        """It is lost, unless its owner has ended it meanwhile."""
        ...


@final
class Renewals:
    """The holds of one client on one event loop."""

    __slots__ = ("_loop", "_queues", "_tasks", "_timer", "_wakes")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # By patience: what was added first is due first, so nothing is ever sorted.
        self._queues: dict[float, dict[str, ref[Hold]]] = {}
        self._tasks = BackgroundTasks()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = float("inf")

    def __len__(self) -> int:
        """How many holds are kept alive, those that are being renewed not counted."""
        return sum(len(queue) for queue in self._queues.values())

    def add(self, hold: Hold) -> None:
        """Keep a hold alive, from now on."""
        queue = self._queues.get(hold.patience)
        if queue is None:
            queue = self._queues[hold.patience] = {}
        queue[hold.token] = ref(hold)
        if hold.due < self._wakes:
            self._wake_at(hold.due)

    def discard(self, hold: Hold) -> bool:
        """Keep it alive no longer, and say whether it was; a renewal under way is without consequence."""
        queue = self._queues.get(hold.patience)
        return queue is not None and queue.pop(hold.token, None) is not None

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = when
        self._timer = self._loop.call_later(when - monotonic(), self._wake)

    def _wake(self) -> None:
        self._timer, self._wakes = None, float("inf")
        for batch in _batches(self._take_due()):
            self._tasks.start(self._renew(batch), name="redis leases renewing")
        firsts = [hold.due for queue in self._queues.values() if (hold := _first(queue)) is not None]
        if firsts:
            self._wake_at(min(firsts))

    def _take_due(self) -> list[Hold]:
        soon = monotonic() + _RESOLUTION
        due: list[Hold] = []
        for patience, queue in list(self._queues.items()):
            passed = []
            for token, reference in queue.items():
                hold = reference()
                if hold is not None and hold.due > soon:
                    break
                passed.append(token)
                if hold is not None:
                    due.append(hold)
            for token in passed:
                del queue[token]
            if not queue:
                del self._queues[patience]
        return due

    # Renewing --------------------------------------------------------------------------------------------------------

    async def _renew(self, holds: list[Hold]) -> None:
        """Renew these, or find each of them lost; it ends when their leases do at the latest."""
        patience = min(hold.patience for hold in holds)
        reason: LossReason = "expired"
        while holds := self._valid(holds, reason):
            sent = monotonic()
            leases = [hold.next_lease_ms() for hold in holds]
            try:
                answers = await _ask(holds, leases, deadline=max(patience / 2, 0.02))
            except (RedisError, PatternError, OSError, TimeoutError):
                reason = "unreachable"
                await asyncio.sleep(min(patience / 10, 1) * random.uniform(0.5, 1))  # noqa: S311
            else:
                for hold, lease_ms, answer in zip(holds, leases, answers, strict=True):
                    self._take(hold, sent, lease_ms, answer)
                return

    def _valid(self, holds: list[Hold], reason: LossReason) -> list[Hold]:
        """Those that may be renewed; the others are over."""
        now, valid = monotonic(), []
        for hold in holds:
            if hold.valid_until > now and hold.next_lease_ms():
                valid.append(hold)
            else:
                hold.on_lost(reason)
        return valid

    def _take(self, hold: Hold, sent: float, lease_ms: int, answer: int) -> None:
        if answer <= 0:
            hold.on_lost("taken" if answer < 0 else "expired")
        elif hold.on_renewed(sent, lease_ms):
            self.add(hold)


async def _ask(holds: list[Hold], leases: list[int], deadline: float) -> list[int]:
    first = holds[0]
    keys = [hold.key for hold in holds]
    arguments = [part for hold, lease_ms in zip(holds, leases, strict=True) for part in (hold.token, lease_ms)]
    async with asyncio.timeout(min(hold.valid_until for hold in holds) - monotonic()):
        answers: list[int] = await first.renewal.taking(len(holds))(first.redis, *keys, *arguments, deadline=deadline)
    return answers


def _first(queue: dict[str, ref[Hold]]) -> Hold | None:
    return next((hold for reference in queue.values() if (hold := reference()) is not None), None)


def _batches(holds: Iterable[Hold]) -> Iterator[list[Hold]]:
    """What may go into one script call: the same script, in a cluster the same slot, and not too many."""
    groups: dict[tuple[Renewal, int], list[Hold]] = {}
    for hold in holds:
        place = slot(hold.key) if isinstance(link_of(hold.redis), ClusterLink) else 0
        groups.setdefault((hold.renewal, place), []).append(hold)
    for group in groups.values():
        rest = iter(group)
        while batch := list(islice(rest, BATCH)):
            yield batch
