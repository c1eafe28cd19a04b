"""Session: what a service remembers of a visitor between two requests."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, final

from aioredis_patterns.types import Seconds

__all__ = ("Session", "SessionInfo", "check_field")

_AUTHENTICATED, _CREATED, _END = slice(48, 64), slice(64, 80), slice(80, 96)
_SEEN: Final = slice(32, 48)
_TIMES: Final = slice(32, 96)
_USER: Final = 116


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
        >>> session = await store.load(session.token)
        >>> session["cart"], session["seen"]
        (['tea'], True)
    """

    __slots__ = ("_data", "_digest", "_head", "_stored", "token", "user_id")

    def __init__(self, token: str, digest: str, head: bytes, data: dict[str, Any], stored: dict[str, bytes]) -> None:
        #: What the visitor's browser keeps. Whoever has it is the visitor.
        self.token = token
        #: Whose session it is; None for an anonymous one.
        self.user_id = head[_USER : _end_of_user(head)].decode() or None
        self._digest = digest
        self._head = head
        self._data = data
        self._stored = stored

    @property
    def public_id(self) -> str:
        """What may be shown of it, in a list of devices for example; it stays the same when the token changes."""
        return _id(self._head)

    @property
    def created_at(self) -> datetime:
        """When it began, by the server's clock."""
        return _time(self._head[_CREATED])

    @property
    def ends_at(self) -> datetime:
        """When it ends at the latest, by the server's clock."""
        return _time(self._head[_END])

    @property
    def authenticated_at(self) -> datetime | None:
        """When the user last showed who he is; None for an anonymous one."""
        stamp = self._head[_AUTHENTICATED]
        return _time(stamp) if int(stamp) else None

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
        self._data[check_field(name)] = value

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
    def of(cls, head: bytes) -> SessionInfo:
        """From the head of a session.

        Raises:
            ValueError: It is none.
        """
        device = head[_end_of_user(head) :].decode()
        return cls(_id(head), device, _time(head[_CREATED]), _time(head[_SEEN]), _time(head[_END]))


def check_field(name: object) -> str:
    """The name of something that a session holds.

    Raises:
        TypeError: It is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"what a session holds has a str for a name, not {name!r:.80}")
    return name


def _end_of_user(head: bytes) -> int:
    """Where the user ends and the device begins; the places of a head are said in `lua/fragment_head.lua`."""
    if not (head[:_USER].isalnum() and head[_TIMES].isdigit()):
        raise ValueError("this is no head of a session")
    return _USER + int(head[112:_USER])


def _id(head: bytes) -> str:
    return head[96:112].decode()


def _time(stamp: bytes) -> datetime:
    return datetime.fromtimestamp(int(stamp) / 1_000_000, UTC)
