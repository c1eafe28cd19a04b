"""`tour`: every pattern at work on a real server, from several processes, with its promises checked.

A pattern's step is a file here: it has a `Step`, or several, and stands in one line of `steps.py`.
"""

from __future__ import annotations

from .steps import STEPS

__all__ = ("STEPS",)
