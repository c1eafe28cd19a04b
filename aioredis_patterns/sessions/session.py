"""Session: what a service remembers of a visitor between two requests."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, final

from aioredis_patterns.types import Seconds

__all__ = ("Session", "SessionInfo")

_STAMPS: Final = (b"created", b"end")


@final
class Session(MutableMapping[str, Any]):
    """One session, as it was when it was loaded: a mapping, whose changes count once the store has saved it.

    What is in it may be changed as well: `session["cart"].append("tea")` is saved like an assignment.

    Its `repr` says neither the token nor whose it is, so that it may be logged.

    Example:
        >>> store = SessionStore(redis)
        >>> session = await store.create("user:42", {"cart": []})
        >>> session["cart"].append("tea")
        >>> session["seen"] = True
        >>> await store.save(session)
        True
        >>> dict(await store.load(session.token))
        {'cart': ['tea'], 'seen': True}
    """

    __slots__ = ("_data", "_digest", "_facts", "_stored", "token", "user_id")

    def __init__(
        self,
        token: str,
        digest: str,
        facts: dict[bytes, bytes],
        data: dict[str, Any],
        stored: dict[str, bytes],
    ) -> None:
        if not all(facts[name].isdigit() for name in _STAMPS):
            raise ValueError("a session must know when it began and when it ends")
        #: What the visitor's browser keeps. Whoever has it is the visitor.
        self.token = token
        #: Whose session it is; None for an anonymous one.
        self.user_id = facts[b"user"].decode() or None
        self._digest = digest
        self._facts = facts
        self._data = data
        self._stored = stored

    @property
    def public_id(self) -> str:
        """What may be shown of it, in a list of devices for example; it stays the same when the token changes."""
        return self._facts[b"id"].decode()

    @property
    def created_at(self) -> datetime:
        """When it began, by the server's clock."""
        return _time(self._facts[b"created"])

    @property
    def ends_at(self) -> datetime:
        """When it ends at the latest, by the server's clock."""
        return _time(self._facts[b"end"])

    @property
    def authenticated_at(self) -> datetime | None:
        """When the user last showed who he is; None for an anonymous one."""
        stamp = self._facts[b"authenticated"]
        return _time(stamp) if stamp else None

    def authenticated_within(self, age: Seconds) -> bool:
        """Whether the user showed who he is so many seconds ago at most, by this machine's clock.

        Ask it before what must not be done by whoever finds an open browser.
        """
        at = self.authenticated_at
        limit = age if isinstance(age, timedelta) else timedelta(seconds=age)
        return at is not None and datetime.now(UTC) - at <= limit

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise TypeError(f"what a session holds has a str for a name, not {name!r:.80}")
        self._data[name] = value

    def __delitem__(self, name: str) -> None:
        del self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        """True: one that holds nothing is a session nevertheless."""
        return True

    def __repr__(self) -> str:
        return f"<Session {self.public_id} with {len(self)} fields>"


@final
@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What a user may be shown of one of his sessions.

    Args:
        public_id: By which it can be ended.
        device: What it was said to run on when it began.
        created_at: When it began.
        seen_at: When it was last used, to about a tenth of the idle time.
        ends_at: When it ends at the latest.

    Example:
        >>> store = SessionStore(redis)
        >>> session = await store.create("ada", device="Firefox on Linux")
        >>> [(info.device, info.public_id == session.public_id) for info in await store.list("ada")]
        [('Firefox on Linux', True)]
    """

    public_id: str
    device: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, facts: dict[bytes, bytes]) -> SessionInfo:
        """From the fields of a session's hash."""
        times = (_time(facts[name]) for name in (b"created", b"seen", b"end"))
        return cls(facts[b"id"].decode(), facts[b"device"].decode(), *times)


def _time(stamp: bytes) -> datetime:
    return datetime.fromtimestamp(int(stamp) / 1_000_000, UTC)
