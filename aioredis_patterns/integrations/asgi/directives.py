"""What a Cache-Control field says to a cache that many share, as of RFC 9111."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

__all__ = ("Directives",)

_DIGITS: Final = 20


@final
@dataclass(frozen=True, slots=True)
class Directives:
    """What is said of keeping a response, or by a request.

    Args:
        no_store: It must not be kept.
        is_private: It is not for everybody, or must be asked for each time.
        is_public: It is for everybody, whoever asked for it.
        max_age: Seconds for which it may be given; None when nothing is said of it.
    """

    no_store: bool
    is_private: bool
    is_public: bool
    max_age: int | None

    @classmethod
    def of(cls, field: bytes | None) -> Directives:
        """Read a field; what cannot be read says that it may not be given again."""
        said = dict(_pair(part) for part in (field or b"").decode("latin-1").lower().split(","))
        age = said.get("s-maxage", said.get("max-age"))
        max_age = None if age is None else int(age) if age.isdecimal() and len(age) < _DIGITS else 0
        is_private = not said.keys().isdisjoint(("private", "no-store", "no-cache"))
        return cls("no-store" in said, is_private, "public" in said or "s-maxage" in said, max_age)


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(), value.strip().strip('"')
