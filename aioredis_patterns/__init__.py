"""Redis patterns for asyncio."""

from __future__ import annotations
