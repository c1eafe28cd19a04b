"""Who must be back at work when another server is in the place of a primary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.lab.history import Call

__all__ = ("BACK", "absences")

BACK, _SOON = 8.0, 1.0
"""Seconds within which every process succeeds again, with every pattern that it uses; and in which it begins to try."""


def absences(calls: Sequence[Call], changes: Sequence[float]) -> Iterator[str]:
    """The processes that tried soon after a change, lived on and had no success; each with its pattern."""
    tried: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in calls:
        tried[call.worker, call.pattern].append(call)
    for (worker, pattern), own in tried.items():
        for change in changes:
            late = change + BACK
            begun = any(change < call.begun < change + _SOON for call in own)
            done = any(call.outcome == "ok" and change < call.ended < late for call in own)
            if begun and not done and own[-1].begun > late:
                yield f"{worker} had no success with {pattern} from {change:.3f} to {late:.3f}"
