"""Members as many as one call may name, and numbers of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aioredis_patterns._core.members import member_text
from aioredis_patterns.types import KeyPart

__all__ = ("MOST", "check_whole", "member_texts")

MOST: Final = 1000
"""What one call may name, and the tags that an item may have: Lua cannot unpack many more."""


def member_texts(members: Iterable[KeyPart], what: str = "member", least: int = 1) -> list[str]:
    """Each of up to 1,000 members, once.

    Raises:
        TypeError, ValueError: As `member_text`, or there are none, or too many.
    """
    if isinstance(members, str | bytes):
        raise TypeError(f"{what}s must be several, such as [{members!r}], not one")
    texts = list(dict.fromkeys(member_text(member, what) for member in members))
    if not least <= len(texts) <= MOST:
        raise ValueError(f"{least} to {MOST} {what}s may be named at once, not {len(texts)}")
    return texts


def check_whole(number: Any, what: str, least: int, most: int) -> int:
    """A number of members, or a place among them.

    Raises:
        TypeError, ValueError: It is none.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} must be an int, not {number!r:.80}")
    if not least <= number <= most:
        raise ValueError(f"{what} must be from {least} to {most}, not {number}")
    return int(number)
