"""RequestSession: what an application has of a visitor's session, in `scope["session"]`."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, MutableMapping
from secrets import token_urlsafe
from typing import Any, Final, final

from aioredis_patterns.sessions import Session, SessionStore
from aioredis_patterns.sessions.session import check_field
from aioredis_patterns.types import KeyPart

__all__ = ("RequestSession",)

_CSRF: Final = "_csrf"


@final
class RequestSession(MutableMapping[str, Any]):
    """The session of the visitor who makes a request: a mapping, which begins when something is put into it.

    `SessionMiddleware` makes it, and stores what was changed before the response starts. A visitor who has none is not
    given one for reading. A framework gives it as `request.session`.

    Args:
        store: Where sessions are kept.
        stored: The visitor's, or None.

    Example:
        >>> from aioredis_patterns import SessionStore
        >>> session = RequestSession(SessionStore(redis), None)
        >>> session["cart"] = ["tea"]
        >>> await session.login("ada")
        >>> session.user_id, dict(session)
        ('ada', {'cart': ['tea']})
        >>> await session.logout()
        >>> session.user_id, dict(session)
        (None, {})
    """

    __slots__ = ("_data", "_store", "accessed", "stored")

    def __init__(self, store: SessionStore, stored: Session | None) -> None:
        self._store = store
        self._data: MutableMapping[str, Any] = {} if stored is None else stored
        #: The session in the store; None as long as there is none.
        self.stored = stored
        #: Whether the application has looked at it.
        self.accessed = False

    @property
    def user_id(self) -> str | None:
        """Who is logged in; None for nobody."""
        self.accessed = True
        return None if self.stored is None else self.stored.user_id

    async def login(self, user_id: KeyPart, *, device: str = "") -> None:
        """Begin a session of a user, with what was in that of the visitor, which ends; what another user had is left.

        Args:
            user_id: Who has just shown who he is.
            device: What he uses, for the list of his sessions.
        """
        self.pop(_CSRF, None)  # it was known before he was
        old = self.stored
        his = old is None or old.user_id in (None, str(user_id))
        self._take(await self._store.create(user_id, self._data if his else {}, device=device))
        if old is not None:
            await self._store.revoke(old)

    async def logout(self) -> None:
        """End the session, and forget what was in it."""
        self.accessed = True
        if self.stored is not None:
            await self._store.revoke(self.stored)
        self.stored, self._data = None, {}

    async def rotate(self, *, verified: bool = False) -> None:
        """Save, and change the token: to be done whenever what the visitor may do changes.

        Args:
            verified: Whether the user has just shown once more who he is.

        Raises:
            SessionConflictError: The session has ended, or another request has rotated it.
        """
        await self.save()
        if self.stored is not None:
            self._take(await self._store.rotate(self.stored, verified=verified))

    async def save(self) -> None:
        """Store what was changed: for a WebSocket, and for changes after the response has started.

        What is in a session that was ended meanwhile is lost, as it should be.

        Raises:
            CodecError: A value cannot be encoded.
            SessionConflictError: The store is `versioned`, and another changed the session meanwhile.
        """
        if self.stored is not None:
            await self._store.save(self.stored)
        elif self._data:
            self._take(await self._store.create(None, self._data))

    def csrf_token(self) -> str:
        """The text that a form of this visitor's has in a hidden field, so that no other site can have sent it."""
        return str(self.setdefault(_CSRF, token_urlsafe(24)))

    def csrf_valid(self, token: object) -> bool:
        """Whether a form came with the visitor's own `csrf_token`."""
        known = self.get(_CSRF)
        if known is None or not isinstance(token, str):
            return False
        return hmac.compare_digest(known.encode(), token.encode(errors="surrogatepass"))

    def __getitem__(self, name: str) -> Any:
        self.accessed = True
        return self._data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.accessed = True
        self._data[check_field(name)] = value

    def __delitem__(self, name: str) -> None:
        self.accessed = True
        del self._data[name]

    def __iter__(self) -> Iterator[str]:
        self.accessed = True
        return iter(self._data)

    def __len__(self) -> int:
        self.accessed = True
        return len(self._data)

    def __repr__(self) -> str:
        return f"<RequestSession: {self.stored!r}>"

    def _take(self, session: Session) -> None:
        self.accessed = True
        self.stored, self._data = session, session
