"""`tour`: every pattern at work on a real server, from several processes, with its promises checked.

A pattern's step is a file here: it has a `Step`, or several, and stands in one line of `STEPS`.
"""

from __future__ import annotations

from typing import Final

from . import caches, locks, rate_limits, transport
from .step import Step

__all__ = ("STEPS",)

STEPS: Final[tuple[Step, ...]] = (
    transport.STEP,
    locks.STEP,
    *rate_limits.STEPS,
    caches.STEP,
)
"""The steps in the order in which they are shown."""
