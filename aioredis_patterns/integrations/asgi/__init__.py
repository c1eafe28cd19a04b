"""Middlewares for every ASGI application, and what they are made of. They need no framework.

| I want | take |
|---|---|
| to limit requests and WebSockets, and to tell clients of it in the standard fields | `RateLimitMiddleware` |
| to know who asks, behind proxies too | `ClientAddress` |
"""

from __future__ import annotations

from .address import ClientAddress
from .rate_limit import RateLimitMiddleware

__all__ = ("ClientAddress", "RateLimitMiddleware")
