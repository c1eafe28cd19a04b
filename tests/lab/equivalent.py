"""Mutants that do what their script does, each with the reason why no test can tell them apart."""

from __future__ import annotations

from typing import Final

__all__ = ("EQUIVALENT",)

EQUIVALENT: Final[dict[str, str]] = {}
"""By `<script>: <the mutant's line>`."""
