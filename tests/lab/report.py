"""What a run has come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.history import Call

__all__ = ("Report",)

_SHOWN = 5
"""Findings of one pattern that are written out."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run: what was called, what happened meanwhile, and what must not have been found."""

    scene: str
    seed: int
    seconds: float
    calls: Sequence[Call]
    mischief: Counter[str]
    findings: dict[str, list[str]]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.findings.values())

    def __str__(self) -> str:
        counts = Counter((call.pattern, call.outcome) for call in self.calls)
        lines = [_row("", "calls", "ok", "fail", "unknown", "findings")]
        for pattern, found in self.findings.items():
            ended = [counts[pattern, outcome] for outcome in ("ok", "fail", "unknown")]
            lines.append(_row(pattern, sum(ended), *ended, len(found)))
        lines += ["", *[_row(kind, count) for kind, count in sorted(self.mischief.items())], ""]
        for pattern, found in self.findings.items():
            lines += [f"{pattern}: {one}" for one in found[:_SHOWN]]
        lines.append(f"--scene {self.scene} --seconds {self.seconds:g} --seed {self.seed}")
        return "\n".join(lines)


def _row(what: str, *values: object) -> str:
    return f"{what:<20}" + "".join(f"{value:>10}" for value in values)
