"""Members: what a user puts into a set or on a board, as Redis has it. It stands in no key, so nothing is escaped."""

from __future__ import annotations

from typing import Final

from aioredis_patterns.types import KeyPart

__all__ = ("member_text",)

_LONGEST: Final = 512


def member_text(member: KeyPart, what: str = "member") -> str:
    """A member as a text; an int stands for its digits.

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
    if not member.isascii():
        member.encode()  # a lone surrogate is a ValueError
    return member
