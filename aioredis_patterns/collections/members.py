"""Members as many as one call may name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aioredis_patterns._core.members import member_text
from aioredis_patterns.types import KeyPart

__all__ = ("MOST", "member_texts")

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
