"""What a request says, and one short word for all that tells it from others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

__all__ = ("digest", "value_of")


def value_of(scope: Mapping[str, Any], name: bytes) -> bytes | None:
    """The values of a field, joined as one; None when the request has none of that name."""
    values = [value for field, value in scope["headers"] if field == name]
    return b", ".join(values) if values else None


def digest(*parts: str | bytes) -> str:
    """One hash of all parts, in which none can pass for a part of another."""
    data = (part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in data)).hexdigest()
