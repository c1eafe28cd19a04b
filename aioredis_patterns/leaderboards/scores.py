"""What may stand on a board: members, scores, and their metadata."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

from aioredis_patterns._core.members import member_text
from aioredis_patterns.types import KeyPart

__all__ = ("Order", "RankMode", "Ties", "check_count", "check_form", "member_texts", "score_text")

Order: TypeAlias = Literal["desc", "asc"]
Ties: TypeAlias = Literal["shared", "first"]
RankMode: TypeAlias = Literal["ordinal", "competition", "dense"]

_FORMS: Final = {
    "order": ("desc", "asc"),
    "ties": ("shared", "first"),
    "rank_mode": ("ordinal", "competition", "dense"),
}
_EXACT: Final = 2**53


def check_form(order: Order, ties: Ties, rank_mode: RankMode) -> tuple[str, str, str]:
    """The three words, in the order in which scripts take them.

    Raises:
        ValueError: One of them is not known.
    """
    for name, word in (("order", order), ("ties", ties), ("rank_mode", rank_mode)):
        if word not in _FORMS[name]:
            raise ValueError(f"{name} must be one of {', '.join(_FORMS[name])}, not {word!r}")
    return order, ties, rank_mode


def score_text(score: float, what: str = "score") -> str:
    """A score as Redis reads it back unchanged.

    Raises:
        TypeError: No number.
        ValueError: NaN, infinite, or an int beyond 2**53, which a double does not hold.
    """
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise TypeError(f"{what} must be a number, not {score!r:.80}")
    if isinstance(score, int):
        if abs(score) > _EXACT:
            raise ValueError(f"{what} must be within 2**53, where every integer is exact, not {score}")
        return str(int(score))
    if not math.isfinite(score):
        raise ValueError(f"{what} must be finite, not {score!r}")
    return repr(float(score) + 0.0)  # -0.0 is 0.0 then, which it equals


def check_count(count: Any, what: str = "count", least: int = 1, most: int = _EXACT) -> int:
    """A number of rows or of periods.

    Raises:
        TypeError, ValueError: It is none.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{what} must be an int, not {count!r:.80}")
    if not least <= count <= most:
        raise ValueError(f"{what} must be from {least} to {most}, not {count}")
    return int(count)


def member_texts(members: Iterable[KeyPart]) -> list[str]:
    """Each of some members, once, in their order."""
    if isinstance(members, str | bytes):
        raise TypeError(f"members must be several, such as [{members!r}], not one")
    return list(dict.fromkeys(map(member_text, members)))
