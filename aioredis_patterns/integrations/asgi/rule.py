"""What limits a request: which limit, whom, by how much, and whom not; each said plainly or found out per request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Generic, TypeAlias, TypeVar, cast

from aioredis_patterns.rate_limits import Decision

from .headers import Decided, Limit

__all__ = ("Asked", "DECIDED", "Key", "Rule", "decided_on")

T = TypeVar("T")
R = TypeVar("R")

Asked: TypeAlias = T | Callable[[R], T | Awaitable[T]]
"""A value, or a function of the request that gives it, at once or awaited."""

Key: TypeAlias = Callable[[R], Any]
"""A function of the request that says who is limited, at once or awaited."""

DECIDED = "aioredis_patterns.rate_limits"
"""Where in a scope all limits put down what they said; it is shared with the applications mounted below."""


class Rule(Generic[R]):
    """How requests of one kind of description are limited.

    Args:
        limiter: The limit; one that is None lets everything pass.
        key: Who is limited; without it, or where it says None, the client's address.
        cost: How much a request weighs.
        exempt: Who is not limited.
        address: The client's address, from a scope.
    """

    __slots__ = ("_address", "_cost", "_exempt", "_key", "_limiter")

    def __init__(
        self,
        limiter: Asked[Limit | None, R],
        key: Key[R] | None,
        cost: Asked[int, R],
        exempt: Asked[bool, R],
        address: Callable[[Any], str],
    ) -> None:
        self._limiter = limiter
        self._key = key
        self._cost = cost
        self._exempt = exempt
        self._address = address

    async def decide(self, request: R, scope: Any) -> Decision | None:
        """Ask the limit and put down what it says; None where there is nothing to ask.

        Args:
            request: What the functions of the rule are given.
            scope: The request's scope.
        """
        if await _asked(self._exempt, request):
            return None
        limiter = await _asked(self._limiter, request)
        if limiter is None:
            return None
        subject = None if self._key is None else await _asked(self._key, request)
        if subject is None:
            subject = self._address(scope)
        decision = await limiter.hit(subject, await _asked(self._cost, request))
        decided_on(scope).append((limiter, decision))
        return decision


def decided_on(scope: Any) -> list[Decided]:
    """All that was decided on a request so far."""
    return cast("list[Decided]", scope.setdefault(DECIDED, []))


async def _asked(given: Asked[T, R], request: R) -> T:
    answer = given(request) if callable(given) else given
    return cast("T", await answer if isawaitable(answer) else answer)
