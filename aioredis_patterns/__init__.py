"""Redis patterns for asyncio."""

from __future__ import annotations

from aioredis_patterns.client import PipelinedRedis, connect

__all__ = ("PipelinedRedis", "connect")
