"""RateLimitMiddleware: limits an ASGI application, and tells its clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias, final

from .address import ClientAddress
from .headers import HeaderStyle, Limit, fields
from .problem import Send, refuse
from .rule import DECIDED, Asked, Key, Rule, decided_on

__all__ = ("App", "RateLimitMiddleware", "Scope")

Scope: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[[Scope, Any, Any], Awaitable[None]]

_STARTS = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))


@final
class RateLimitMiddleware:
    """Admits requests and WebSockets to an application as a limit allows, mounted applications included.

    The promise. A request is asked for once, before the application sees it. One that is denied is answered with 429,
    `Retry-After` and a problem document that names the limit (RFC 9457); a WebSocket's handshake likewise, or it is
    closed with 1008 where the server cannot. Every response says in the fields `RateLimit` and `RateLimit-Policy`
    (draft-ietf-httpapi-ratelimit-headers) what all limits on the request's way have said: the outermost middleware
    writes them, for those inside of it and for FastAPI's dependencies too. Bodies and streams pass untouched.

    The limit of the promise. Who is limited must not be the client's choice: without `key` it is the address, see
    `ClientAddress`. A WebSocket is counted once, when it opens; for each message ask the limit yourself. When Redis
    fails, the exception goes to the server, which answers 500; a `Fallback` around the limit decides otherwise.

    The cost. One round trip per request.

    Args:
        app: The application.
        limiter: The limit, or a function of the scope that gives it, or None for none. Without it the middleware only
            writes the fields of the limits inside.
        key: A function of the scope that says who is limited; where it says None, the client's address is.
        cost: How much a request weighs, or a function of the scope.
        exempt: A function of the scope that says whether a request is let through unasked.
        trusted_proxies: Networks whose `X-Forwarded-For` is believed.
        ipv6_prefix: The bits of an IPv6 address that tell one client from another.
        headers: "ietf", "legacy" for `X-RateLimit-*`, "both", or None.

    All functions may be async.

    Example:
        >>> async def hello(scope, receive, send):
        ...     await send({"type": "http.response.start", "status": 200, "headers": []})
        ...     await send({"type": "http.response.body", "body": b"hello"})
        >>> from aioredis_patterns import TokenBucket
        >>> app = RateLimitMiddleware(hello, limiter=TokenBucket(redis, "api", limit=100, period=60, burst=20))
        >>> async def show(message):
        ...     print(message.get("headers", message.get("body")))
        >>> await app({"type": "http", "client": ("203.0.113.7", 4711), "headers": []}, None, show)
        [(b'ratelimit-policy', b'"api";q=100;w=60'), (b'ratelimit', b'"api";r=19;t=1')]
        b'hello'
    """

    __slots__ = ("_headers", "_rule", "app")

    def __init__(
        self,
        app: App,
        *,
        limiter: Asked[Limit | None, Scope] = None,
        key: Key[Scope] | None = None,
        cost: Asked[int, Scope] = 1,
        exempt: Asked[bool, Scope] = False,
        trusted_proxies: Sequence[str] = (),
        ipv6_prefix: int = 64,
        headers: HeaderStyle = "ietf",
    ) -> None:
        self.app = app
        self._headers: HeaderStyle = headers
        self._rule = Rule(limiter, key, cost, exempt, ClientAddress(trusted_proxies, ipv6_prefix=ipv6_prefix))

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if DECIDED not in scope:
            send = self._telling(scope, send)
        decision = await self._rule.decide(scope, scope)
        if decision is None or decision.allowed:
            await self.app(scope, receive, send)
        else:
            await refuse(decision, scope, send)

    def _telling(self, scope: Scope, send: Send) -> Send:
        """A `send` that adds the fields for what has been decided until the response starts."""
        decided = decided_on(scope)

        async def send_with_fields(message: MutableMapping[str, Any]) -> None:
            if message["type"] in _STARTS and (ours := fields(decided, self._headers)):
                names = {name for name, _ in ours}
                others = [field for field in message.get("headers", ()) if field[0].lower() not in names]
                message = {**message, "headers": [*others, *ours]}
            await send(message)

        return send_with_fields
