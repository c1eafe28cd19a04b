"""Middlewares for every ASGI application, and what they are made of. They need no framework.

| I want | take |
|---|---|
| to limit requests and WebSockets, and to tell clients of it in the standard fields | `RateLimitMiddleware` |
| clients to repeat a request of which they do not know what became | `IdempotencyMiddleware` |
| responses that are the same for everybody to be made once | `ResponseCacheMiddleware` |
| the visitor's session as `request.session`, and its cookie | `SessionMiddleware`, which gives a `RequestSession` |
| to know who asks, behind proxies too | `ClientAddress` |
"""

from __future__ import annotations

from .address import ClientAddress
from .idempotency import IdempotencyMiddleware
from .rate_limit import RateLimitMiddleware
from .request_session import RequestSession
from .response_cache import ResponseCacheMiddleware
from .session import SessionMiddleware

__all__ = (
    "ClientAddress",
    "IdempotencyMiddleware",
    "RateLimitMiddleware",
    "RequestSession",
    "ResponseCacheMiddleware",
    "SessionMiddleware",
)
