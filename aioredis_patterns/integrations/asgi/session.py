"""SessionMiddleware: the visitor's session for every ASGI application, and its cookie."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final, Literal, final

from aioredis_patterns.sessions import SessionStore

from .headers import Field
from .problem import Send
from .rate_limit import App, Scope
from .request_session import RequestSession

__all__ = ("SessionMiddleware",)

_NAME: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_VARY: Final = (b"vary", b"Cookie")


@final
class SessionMiddleware:
    """Loads the visitor's session before the application runs, and stores it before the response starts.

    The application finds a `RequestSession` in `scope["session"]`, which Starlette and FastAPI give as
    `request.session`. It is a mapping; `login`, `logout` and `rotate` change the token in the cookie.

    The promise. The cookie is sent over TLS only, to this host only, is out of the reach of scripts, and does not come
    along when another site sends a form (`Secure`, `__Host-`, `HttpOnly`, `SameSite=Lax`). A token that the store did
    not give is never adopted. A visitor in whose session nothing was put gets none. Only fields that were changed are
    written, changes inside of a value included; a response that depends on the session says `Vary: Cookie`.

    The limit of the promise. What is changed after the response has started is not stored, nor what a WebSocket
    changes: `await session.save()` does it there. A request that is late cannot bring a session back that was ended,
    and its changes are lost. When Redis fails, the exception goes to the server, which answers 500.

    The cost. One round trip for a request that comes with a cookie, one more when something was changed.

    Args:
        app: The application.
        store: Where sessions are kept.
        cookie: Its name. Without `secure` it cannot begin with `__Host-` or `__Secure-`.
        secure: False to develop without TLS.
        same_site: "lax", "strict" to come along from no other site even by a link, or "none" for frames elsewhere.

    Raises:
        ValueError: Browsers would refuse such a cookie.

    Example:
        >>> async def count(scope, receive, send):
        ...     session = scope["session"]
        ...     session["visits"] = session.get("visits", 0) + 1
        ...     await send({"type": "http.response.start", "status": 200, "headers": []})
        ...     await send({"type": "http.response.body", "body": b"%d" % session["visits"]})
        >>> from aioredis_patterns import SessionStore
        >>> app = SessionMiddleware(count, store=SessionStore(redis))
        >>> cookies = {}
        >>> async def show(message):
        ...     for name, value in message.get("headers", ()):
        ...         cookies.update({b"cookie": value.partition(b";")[0]} if name == b"set-cookie" else {})
        ...     if "body" in message:
        ...         print(message["body"])
        >>> for _ in range(2):
        ...     await app({"type": "http", "headers": list(cookies.items())}, None, show)
        b'1'
        b'2'
    """

    __slots__ = ("_flags", "_name", "_store", "app")

    def __init__(
        self,
        app: App,
        *,
        store: SessionStore,
        cookie: str = "__Host-session",
        secure: bool = True,
        same_site: Literal["lax", "strict", "none"] = "lax",
    ) -> None:
        if _NAME.fullmatch(cookie) is None:
            raise ValueError(f"cookie must be a name of letters, digits and signs, not {cookie!r:.80}")
        if not secure and (cookie.startswith(("__Host-", "__Secure-")) or same_site == "none"):
            raise ValueError("without secure, browsers refuse a cookie of this name, and same_site='none'")
        if same_site not in ("lax", "strict", "none"):
            raise ValueError(f"same_site must be 'lax', 'strict' or 'none', not {same_site!r:.80}")
        self.app = app
        self._store, self._name = store, cookie.encode()
        self._flags = f"; Path=/; HttpOnly; SameSite={same_site.title()}{'; Secure' if secure else ''}".encode()

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        token = self._token(scope)
        stored = await self._store.load(token) if token else None
        sent = None if stored is None else stored.token
        scope["session"] = session = RequestSession(self._store, stored)

        async def send_stored(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and session.accessed:
                await session.save()
                message = {**message, "headers": [*message.get("headers", ()), *self._fields(session, sent)]}
            await send(message)

        await self.app(scope, receive, send_stored if scope["type"] == "http" else send)

    def _token(self, scope: Scope) -> str:
        """What the cookie holds; the store finds out whether it is a token."""
        start = self._name + b"="
        for name, value in scope["headers"]:
            if name == b"cookie" and self._name in value:
                for part in value.split(b";"):
                    pair = part.strip()
                    if pair.startswith(start):
                        return str(pair[len(start) :], "latin-1")
        return ""

    def _fields(self, session: RequestSession, sent: str | None) -> list[Field]:
        """The cookie where it has changed since it was sent, and what the response depends on."""
        stored = session.stored
        if stored is None:
            return [_VARY] if sent is None else [_VARY, self._cookie("", 0)]
        if stored.token == sent:
            return [_VARY]
        left = (stored.ends_at - datetime.now(UTC)).total_seconds()
        return [_VARY, self._cookie(stored.token, max(ceil(left), 1))]

    def _cookie(self, value: str, seconds: int) -> Field:
        return b"set-cookie", b"%b=%b; Max-Age=%d%b" % (self._name, value.encode(), seconds, self._flags)
