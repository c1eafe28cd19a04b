"""The steps of the tour."""

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
"""In the order in which they are shown."""
