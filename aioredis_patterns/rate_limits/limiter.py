"""What all rate limits share: how a hit is asked for, checked and answered."""

from __future__ import annotations

import asyncio
import math
from operator import index
from typing import Any, ClassVar, Final

from aioredis_patterns._core.durations import period_us, timeout_seconds
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.tasks import background
from aioredis_patterns.errors import RateLimitExceededError
from aioredis_patterns.events import LimitDecided, emit
from aioredis_patterns.types import AnyRedis, EventHook, KeyPart, Seconds

from .decision import Decision

__all__ = ("EXACT", "Limiter", "check_count")

EXACT: Final = 2**53
"""Lua's numbers are exact below it."""
