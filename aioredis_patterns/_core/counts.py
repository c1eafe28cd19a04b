"""Counts: how many there may be, checked before any command is sent."""

from __future__ import annotations

from typing import Final

__all__ = ("EXACT", "check_count")

EXACT: Final = 2**53
"""The last whole number that a script counts exactly, and passes on in digits."""


def check_count(value: int, name: str, least: int = 1, most: int | None = None) -> int:
    """The count itself.

    Raises:
        TypeError: It is no int; a bool is none either.
        ValueError: It is too small, or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r:.80}")
    if most is None and value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    if most is not None and not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value}")
    return value
