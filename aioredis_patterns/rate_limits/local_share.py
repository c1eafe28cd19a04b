"""LocalShare: what one process may admit by itself while nobody can be asked."""

from __future__ import annotations

from math import ceil, inf
from time import monotonic
from typing import Final, final

from aioredis_patterns.types import KeyPart

from .decision import Decision

__all__ = ("LocalShare",)

_SUBJECTS: Final = 10_000


@final
class LocalShare:
    """Buckets in this process: one for each subject, with its share of the rate and of the burst.

    It is kept warm by every decision of Redis, so a subject goes on with its share of what it had left. Only the
    subjects asked for last are remembered; one that is not has its whole share.

    Args:
        name: The name of the limit whose share it is.
        most: What that limit admits at once.
        rate: Units that it admits per second.
        share: How much of it is this process's, above 0 and up to 1.
    """

    __slots__ = ("_capacity", "_most", "_name", "_rate", "_share", "_states")

    def __init__(self, name: str, most: int, rate: float, share: float) -> None:
        if isinstance(share, bool) or not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and up to 1, not {share!r}")
        self._name = name
        self._share = share
        self._most = most
        self._capacity = most * share
        self._rate = rate * share
        self._states: dict[KeyPart | None, tuple[float, float]] = {}

    def learn(self, subject: KeyPart | None, decision: Decision) -> None:
        """Remember what Redis says is left."""
        self._put(subject, decision.remaining * self._share)

    def decide(self, subject: KeyPart | None, cost: int, *, takes: bool = True) -> Decision:
        """Answer a hit, or a peek.

        A hit that costs more than the share passes when the share is whole, and is paid back before the next one.
        """
        level = self._level(subject)
        missing = min(cost, self._capacity) - level if cost else 0.0
        allowed = missing <= 0 and cost <= self._most
        if allowed and takes:
            level -= cost
        if takes:
            self._put(subject, level)  # who is denied is remembered too
        retry_after = inf if cost > self._most else max(missing / self._rate, 0.0)
        reset_after = (self._capacity - level) / self._rate
        limit, remaining = ceil(self._capacity), max(int(level), 0)
        return Decision(allowed, limit, remaining, retry_after, reset_after, self._name, "local")

    def _level(self, subject: KeyPart | None) -> float:
        level, stamp = self._states.get(subject, (self._capacity, 0.0))
        return min(level + (monotonic() - stamp) * self._rate, self._capacity)

    def _put(self, subject: KeyPart | None, level: float) -> None:
        self._states.pop(subject, None)
        self._states[subject] = (level, monotonic())
        if len(self._states) > _SUBJECTS:
            del self._states[next(iter(self._states))]
