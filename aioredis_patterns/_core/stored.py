"""Reading what Redis holds: where it is not what a pattern put there, that is a `CodecError`, and not Python's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from aioredis_patterns.errors import CodecError

__all__ = ("Stored", "stored_texts")

_ODD: Final = (ValueError, LookupError, OverflowError, OSError)
"""What Python raises of bytes, numbers and dates that make no sense; OSError of a date that the platform has not."""


@final
class Stored:
    """Goes around the lines that take a reply apart, and around nothing else.

    Example:
        >>> with Stored("a counter"):
        ...     int(b"many")
        Traceback (most recent call last):
        aioredis_patterns.errors.CodecError: what is stored as a counter is none: invalid literal for int() ...
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _ODD):
            raise CodecError(f"what is stored as {self._what} is none: {error}") from error


def stored_texts(found: Iterable[bytes], what: str = "a member") -> list[str]:
    """Texts as Redis holds them, in their order."""
    with Stored(what):
        return [text.decode() for text in found]
