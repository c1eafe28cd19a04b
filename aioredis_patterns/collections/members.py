"""What may be in a collection: a text, or an int that stands for its digits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aioredis_patterns.types import KeyPart

__all__ = ("member_text", "member_texts")

_LONGEST: Final = 512
_MOST: Final = 1000


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


def member_texts(members: Iterable[KeyPart], what: str = "member") -> list[str]:
    """Each of 1 to 1,000 members, once.

    Raises:
        TypeError, ValueError: As `member_text`, or there are none, or too many.
    """
    texts = list(dict.fromkeys(member_text(member, what) for member in members))
    if not 1 <= len(texts) <= _MOST:
        raise ValueError(f"1 to {_MOST} {what}s may be named at once, not {len(texts)}")
    return texts
