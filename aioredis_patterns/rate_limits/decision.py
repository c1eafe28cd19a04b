"""Decision: what a rate limit said to one hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ("Deciding", "Decision", "Outcome", "Source", "outcome_of")

Source: TypeAlias = Literal["redis", "lease", "local", "open", "closed", "shadow", "ban"]
"""Where a decision comes from: `redis` from the limit itself; the others from what was put around it.

`lease` from tokens that this process holds; `local`, `open` and `closed` from what stands in for Redis when it fails
(`on_error`); `shadow` was a denial that a `Shadow` let pass; `ban` from a ban.
"""

Outcome: TypeAlias = Literal["allowed", "denied", "error_open", "error_closed"]
"""What hooks are told of a decision."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of a rate limit, all of it from the one script call that decided.

    True when the hit was allowed, so `if not await limiter.hit(user): ...` reads as it should.

    >>> decision = Decision(allowed=False, limit=5, remaining=0, retry_after=0.2, reset_after=1.0, policy="api")
    >>> bool(decision), decision.retry_after
    (False, 0.2)
    """

    #: Whether the hit went through and was counted. A hit that was denied consumed nothing.
    allowed: bool
    #: The most that can be admitted at once: the burst of a bucket, the limit of a window.
    limit: int
    #: How much of the limit is left at this moment; never negative.
    remaining: int
    #: Seconds until the same hit passes: 0 when it was allowed, infinite when its cost is above the limit.
    retry_after: float
    #: Seconds until nothing is used any more, if nobody hits again.
    reset_after: float
    #: The name of the limit that decided.
    policy: str
    #: Where it comes from, such as `redis`, or `local` while Redis fails.
    source: Source = "redis"

    def __bool__(self) -> bool:
        return self.allowed


class Deciding(Protocol):
    """Every limit that answers a hit with a decision."""

    name: str

    async def hit(self, subject: Any = None, cost: Any = 1) -> Decision:
        """Ask to be admitted."""
        ...

    async def peek(self, subject: Any = None, cost: Any = 1) -> Decision:
        """Say what a hit would be answered."""
        ...


def outcome_of(decision: Decision) -> Outcome:
    """What hooks are told of this decision."""
    if decision.source == "open":
        return "error_open"
    if decision.source == "closed":
        return "error_closed"
    return "allowed" if decision.allowed else "denied"
