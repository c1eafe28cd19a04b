"""Shadow: a limit that is tried out before it holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

from .decision import Deciding, Decision

__all__ = ("Shadow",)


@final
class Shadow:
    """A limit that decides and never denies, to learn whom it would hit.

    The promise. The limit counts as always and its hook is told of its own decision. A denial comes back as admitted,
    with `source` "shadow" and everything else as the limit said it: `retry_after` is what the caller would have
    waited. Taking the shadow away changes nothing in the state.

    The limit of the promise. What the limit denied it has not counted, though it was admitted.

    The cost. That of the limit.

    Only `hit` and `peek` are shadowed; whatever else the limit can do is asked of `.limiter`.

    Args:
        limiter: The limit, of whatever kind.

    Example:
        >>> trial = Shadow(FixedWindow(redis, "uploads", limit=1, period=3600))
        >>> [(await trial.hit("user:42")).source for _ in range(2)]
        ['redis', 'shadow']
    """

    __slots__ = ("limiter", "name")

    def __init__(self, limiter: Deciding) -> None:
        self.limiter = limiter
        self.name = limiter.name

    def __repr__(self) -> str:
        return f"<Shadow of {self.limiter!r}>"

    async def hit(self, subject: Any = None, cost: Any = 1) -> Decision:
        """Have the limit decide, and admit.

        Args:
            subject, cost: As of the limit itself.

        Raises:
            Exception: What the limit raises.
        """
        return _admitted(await self.limiter.hit(subject, cost))

    async def peek(self, subject: Any = None, cost: Any = 1) -> Decision:
        """Say what a hit would be answered, which is never a no.

        Args:
            subject, cost: As in `hit`.

        Raises:
            Exception: What the limit raises.
        """
        return _admitted(await self.limiter.peek(subject, cost))


def _admitted(decision: Decision) -> Decision:
    return decision if decision.allowed else replace(decision, allowed=True, source="shadow")
