"""Rate limits."""

from .decision import Decision
from .limiter import Limiter
from .token_bucket import TokenBucket

__all__ = ("Decision", "Limiter", "TokenBucket")
