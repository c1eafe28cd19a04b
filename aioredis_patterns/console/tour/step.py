"""A step of the tour: what it does, and what it found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aioredis_patterns.client import PipelinedRedis

from .crew import Crew

__all__ = ("Check", "Outcome", "Report", "Stage", "Step")


@dataclass(frozen=True, slots=True)
class Stage:
    """What a step works with: it uses no keys but those under the prefix, and each of them expires."""

    redis: PipelinedRedis
    url: str
    prefix: str
    crew: Crew


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it was kept."""

    promise: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step found: its figures in one line, and its checks."""

    figures: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A pattern at work.

    Args:
        name: Of the pattern.
        does: What is done, in one line.
        shows: What this shows, in one line.
        run: Does it.
    """

    name: str
    does: str
    shows: str
    run: Callable[[Stage], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Report:
    """What a step left to be seen."""

    step: Step
    outcome: Outcome
    keys: tuple[str, ...]  #: without the prefix
    commands: Mapping[str, int]  #: that the server executed, those inside of scripts included
    seconds: float

    @property
    def broken(self) -> list[str]:
        """The promises that were not kept."""
        return [check.promise for check in self.outcome.checks if not check.kept]
