"""`aioredis-patterns worker`: handles the messages of a queue, as a service of its own."""

from __future__ import annotations

__all__ = ()
