"""Mutants that do what their script does, each with the reason why no test can tell them apart."""

from __future__ import annotations

from typing import Final

__all__ = ("EQUIVALENT",)

EQUIVALENT: Final[dict[str, str]] = {
    "write_behind_done: if entry and string.sub(entry, 69 + (tonumber(string.sub(entry, 65, 68)) or 1)) ~= body then": (
        "what has no length there is no entry, and goes either way"
    ),
    "write_behind_claim: return tonumber(redis.call('ZRANGE', queue, 0, 1, 'WITHSCORES')[2] or math.huge)": (
        "the first score is the first, whether or not a second is read with it"
    ),
}
"""By `<script>: <the mutant's line>`."""
