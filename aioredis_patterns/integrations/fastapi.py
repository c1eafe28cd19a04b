"""RateLimit: a limit as a dependency of FastAPI's, on a route, a router or a whole application.

Needs the extra `web`.
"""

# No `from __future__ import annotations` here: FastAPI reads those of `__call__`, and cannot where they are texts.

from collections.abc import Sequence
from typing import final

from fastapi import HTTPException, Response
from starlette.requests import HTTPConnection

from aioredis_patterns.rate_limits import Decision

from .asgi.address import ClientAddress
from .asgi.headers import Field, HeaderStyle, Limit, fields, retry_after
from .asgi.problem import Send, problem, refuse
from .asgi.rate_limit import App, Scope
from .asgi.rule import Asked, Key, Rule, decided_on

__all__ = ("RateLimit",)

_HANDLERS = "starlette.exception_handlers"


class _Denied(HTTPException):
    """A denial on its way to its handler. A handler of the application's for its status goes first."""

    def __init__(self, decision: Decision, told: list[Field]) -> None:
        self.decision, self.told = decision, told
        super().__init__(problem(decision)[0], "rate limit exceeded", _texts([*told, *retry_after(decision)]))


@final
class RateLimit:
    """A dependency that admits requests as a limit allows, and gives the endpoint its decision.

    The promise. A request is asked for once, before the endpoint runs. One that is denied is answered with 429,
    `Retry-After` and a problem document that names the limit; a WebSocket's handshake likewise. The response says in
    the fields `RateLimit` and `RateLimit-Policy` what all limits of the route have said. The endpoint needs no
    `request` and no `response` for that.

    The limit of the promise. FastAPI drops what a dependency adds to a response that the endpoint makes itself: where
    endpoints do that, put a `RateLimitMiddleware` around the application, without a limiter if it has none of its own,
    and it writes the fields on every response. The middleware's other limits hold here too.

    The cost. One round trip per request and limit. Several limits that should be decided together are one
    `CompositeLimit`.

    Args:
        limiter: The limit, or a function of the request that gives it, or None for none.
        key: A function of the request that says who is limited; where it says None, the client's address is.
        cost: How much a request weighs, or a function of the request.
        exempt: A function of the request that says whether it is let through unasked.
        trusted_proxies: Networks whose `X-Forwarded-For` is believed.
        ipv6_prefix: The bits of an IPv6 address that tell one client from another.
        headers: "ietf", "legacy" for `X-RateLimit-*`, "both", or None.

    All functions may be async.

    Example:
        >>> from fastapi import Depends, FastAPI
        >>> from aioredis_patterns import SlidingWindow
        >>> searches = SlidingWindow(redis, "searches", limit=30, period=60)
        >>> app = FastAPI()
        >>> @app.get("/search", dependencies=[Depends(RateLimit(searches, key=lambda request: request.headers["key"]))])
        ... async def search(words: str) -> list[str]:
        ...     return words.split()
    """

    def __init__(
        self,
        limiter: Asked[Limit | None, HTTPConnection],
        *,
        key: Key[HTTPConnection] | None = None,
        cost: Asked[int, HTTPConnection] = 1,
        exempt: Asked[bool, HTTPConnection] = False,
        trusted_proxies: Sequence[str] = (),
        ipv6_prefix: int = 64,
        headers: HeaderStyle = "ietf",
    ) -> None:
        self._headers: HeaderStyle = headers
        self._rule = Rule(limiter, key, cost, exempt, ClientAddress(trusted_proxies, ipv6_prefix=ipv6_prefix))

    async def __call__(self, connection: HTTPConnection, response: Response) -> Decision | None:
        """Admit a request or a WebSocket, or raise; the decision, None where it was not asked for."""
        decision = await self._rule.decide(connection, connection.scope)
        told = fields(decided_on(connection.scope), self._headers)
        if decision is None or decision.allowed:
            response.headers.update(_texts(told))
            return decision
        # FastAPI knows how to answer an exception only by the handlers of the application.
        handlers, _ = connection.scope.get(_HANDLERS, ({}, {}))
        handlers.setdefault(_Denied, _answer)
        raise _Denied(decision, told)


async def _answer(_: HTTPConnection, denied: _Denied) -> App:
    async def answer(scope: Scope, _: object, send: Send) -> None:
        await refuse(denied.decision, scope, send, denied.told)

    return answer


def _texts(told: list[Field]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in told}
