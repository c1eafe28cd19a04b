"""Finding: one thing that the doctor has to say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ("Finding", "Level", "exit_code", "ok", "warning", "wrong")

Level: TypeAlias = Literal["ok", "warning", "error"]
"""How bad it is: fine; it endangers some patterns; the server cannot serve this library."""

_CODES: Final[dict[Level, int]] = {"ok": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one topic, and what to do about it.

    >>> Finding("warning", "eviction", "maxmemory-policy is allkeys-lru", "raise it")
    Finding(level='warning', topic='eviction', message='maxmemory-policy is allkeys-lru', remedy='raise it')
    """

    level: Level
    topic: str
    message: str
    remedy: str = ""  #: What to do; empty when there is nothing to do.


def ok(topic: str, message: str) -> Finding:
    """All is well."""
    return Finding("ok", topic, message)


def warning(topic: str, message: str, remedy: str) -> Finding:
    """It works, and endangers some patterns."""
    return Finding("warning", topic, message, remedy)


def wrong(topic: str, message: str, remedy: str) -> Finding:
    """The server cannot serve this library."""
    return Finding("error", topic, message, remedy)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when all is well, 1 with a warning, 2 with an error."""
    return max((_CODES[finding.level] for finding in findings), default=0)
