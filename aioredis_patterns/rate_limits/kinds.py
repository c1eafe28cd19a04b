"""What a script is made of that calls the scripts of all kinds of limits as functions."""

from __future__ import annotations

from typing import Final, TypeAlias

from .limiter import Limiter
from .quota import Quota

__all__ = ("FRAGMENTS", "HITS", "PEEKS", "Part", "REFUNDS", "capacity_of", "states_of", "told_of")

FRAGMENTS: Final = (
    *("fragment_time", "fragment_bucket", "fragment_debt", "fragment_log", "fragment_sliding", "fragment_window"),
    *("fragment_log_writing", "fragment_quota", "fragment_parts"),
)
"""What those scripts have in front of them, and how they are called."""

_KINDS: Final = ("fixed_window", "gcra", "leaky_bucket", "quota", "sliding_log", "sliding_window", "token_bucket")
HITS: Final = tuple(f"{kind}_hit" for kind in _KINDS)
PEEKS: Final = tuple(f"{kind}_peek" for kind in _KINDS)
REFUNDS: Final = tuple(f"{kind}_refund" for kind in _KINDS)

Part: TypeAlias = Limiter | Quota
"""A limit that such a script can ask."""


def told_of(part: Part) -> bytes:
    """The kind of a limit and what the scripts of its kind are told before the cost, as `ask` takes it."""
    if isinstance(part, Quota):
        return b"quota %d %d %d" % (part.limit, *part.present)
    return b" ".join((part._hit.name.removesuffix("_hit").encode(), *part._arguments))  # noqa: SLF001


def states_of(part: Part) -> tuple[str, ...]:
    """The parts of the keys in which a limit keeps its state."""
    return ("quota", "reserved") if isinstance(part, Quota) else (part._part,)  # noqa: SLF001


def capacity_of(part: Part) -> int:
    """The most that a limit can admit at once."""
    return part.limit if isinstance(part, Quota) else part._capacity  # noqa: SLF001
