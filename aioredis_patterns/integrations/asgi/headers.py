"""The response fields that tell a client of its limits: the IETF's RateLimit fields, and the older X-RateLimit ones."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from time import time
from typing import Any, Final, Literal, Protocol, TypeAlias
from urllib.parse import quote

from aioredis_patterns.rate_limits import Decision, Gcra, LeakyBucket, TokenBucket

__all__ = ("Decided", "Field", "HeaderStyle", "Limit", "fields", "retry_after")

HeaderStyle: TypeAlias = Literal["ietf", "legacy", "both"] | None
"""`ietf`: RateLimit and RateLimit-Policy; `legacy`: X-RateLimit-Limit, -Remaining and -Reset (a Unix time); or none."""

Field: TypeAlias = tuple[bytes, bytes]

_STEADY: Final = (Gcra, LeakyBucket, TokenBucket)
_LARGEST: Final = 10**15 - 1  # of the whole numbers in structured fields
_PRINTABLE: Final = "".join(map(chr, range(32, 127)))
_BLIND: Final = ("open", "closed")


class Limit(Protocol):
    """What can be asked to admit a request: a limit of a rate, several together, or one with something around it."""

    @property
    def name(self) -> str:
        """What is limited."""
        ...

    async def hit(self, subject: Any = None, cost: Any = 1, /) -> Decision:
        """Ask to be admitted."""
        ...


Decided: TypeAlias = tuple[Limit, Decision]
"""A limit, and what it said to this request."""


def fields(decided: Sequence[Decided], style: HeaderStyle) -> list[Field]:
    """The response fields for all that was decided on one request.

    A limit that does not know its state, as Redis fails, is not told of.
    """
    known = {limit.name: (limit, decision) for limit, decision in decided if decision.source not in _BLIND}
    if not known or style is None:
        return []
    ietf = _ietf(list(known.values())) if style != "legacy" else []
    return ietf + (_legacy(list(known.values())) if style != "ietf" else [])


def retry_after(decision: Decision) -> list[Field]:
    """When to come back, in whole seconds, and never before it is of use; nothing where it never is."""
    if decision.retry_after == inf:
        return []
    return [(b"retry-after", b"%d" % max(ceil(decision.retry_after), 1))]


def _ietf(decided: list[Decided]) -> list[Field]:
    policies = [_policy(part, decision) for limit, decision in decided for part in _parts(limit)]
    states = [_state(limit, decision) for limit, decision in decided]
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]


def _legacy(decided: list[Decided]) -> list[Field]:
    """These have room for one limit only: the one that denies, or else the one with the least left."""
    _, decision = min(decided, key=lambda pair: (pair[1].allowed, pair[1].remaining))
    return [
        (b"x-ratelimit-limit", b"%d" % decision.limit),
        (b"x-ratelimit-remaining", b"%d" % decision.remaining),
        (b"x-ratelimit-reset", b"%d" % ceil(time() + decision.reset_after)),
    ]


def _parts(limit: Any) -> Sequence[Any]:
    """The limits of rates that are asked in the end."""
    while hasattr(limit, "limiter"):
        limit = limit.limiter
    return getattr(limit, "parts", None) or (limit,)


def _policy(part: Any, decision: Decision) -> str:
    """A quota, and its period where that is whole seconds, as the field has no others."""
    quota = getattr(part, "limit", decision.limit)
    period = getattr(part, "period", 0.5)
    window = f";w={period:.0f}" if period == int(period) else ""
    return f"{_string(part.name)};q={min(quota, _LARGEST)}{window}"


def _state(limit: Limit, decision: Decision) -> str:
    """How much may be used now, never more than the quota; and the seconds until there is more, never too few."""
    part = next((part for part in _parts(limit) if part.name == decision.policy), None)
    wait = decision.reset_after if decision.allowed or decision.retry_after == inf else decision.retry_after
    if decision.allowed and isinstance(part, _STEADY):
        wait = min(wait, part.period / part.limit)
    most = getattr(part, "limit", decision.limit)
    return f"{_string(decision.policy)};r={min(decision.remaining, most, _LARGEST)};t={min(ceil(wait), _LARGEST)}"


def _string(name: str) -> str:
    """A name as the string of a structured field, which is printable ASCII."""
    return '"' + quote(name, safe=_PRINTABLE).replace("\\", "\\\\").replace('"', '\\"') + '"'
