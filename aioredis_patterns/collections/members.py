"""What may be in a collection: a text, or an int that stands for its digits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aioredis_patterns.types import KeyPart

__all__ = ("MOST", "member_text", "member_texts")

_LONGEST: Final = 512

MOST: Final = 1000
"""What one call may name, and the tags that an item may have: Lua cannot unpack many more."""


def member_text(member: KeyPart, what: str = "member") -> str:
    """A member as Redis has it.

    Raises:
        TypeError: Neither str nor int.
        ValueError: Empty, longer than 512 characters, or not Unicode.
    """
    if type(member) is int:
        return str(member)
    if not isinstance(member, str):
        raise TypeError(f"a {what} must be a str or an int, not {member!r:.80}")
    if not 1 <= len(member) <= _LONGEST:
        raise ValueError(f"a {what} must have 1 to {_LONGEST} characters, not {len(member)}")
    member.encode()  # a lone surrogate is a ValueError
    return member


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
