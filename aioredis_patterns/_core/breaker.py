"""A circuit breaker: who has failed often is left alone for a while, so that nobody waits for what will not come."""

from __future__ import annotations

from time import monotonic
from typing import Final, final
from weakref import WeakKeyDictionary

from aioredis_patterns.client.attach import link_of
from aioredis_patterns.client.link import Link
from aioredis_patterns.types import AnyRedis

__all__ = ("Breaker", "breaker_of")

_FAILURES: Final = 5
_REST: Final = 1.0


@final
class Breaker:
    """Counts failures in a row; after so many it lets one call through per rest, until one succeeds.

    The one who asks says how it went. A call that never comes back is no harm: the next rest brings another one.

    Args:
        failures: So many in a row open it.
        rest: Seconds between two calls that find out whether all is well again.

    Example:
        >>> breaker = Breaker(failures=2, rest=60)
        >>> breaker.failed(), breaker.failed(), breaker.admits()
        (None, None, False)
        >>> breaker.succeeded(), breaker.admits()
        (None, True)
    """

    __slots__ = ("_failures", "_in_a_row", "_next", "rest")

    def __init__(self, failures: int = _FAILURES, rest: float = _REST) -> None:
        self.rest = rest
        self._failures = failures
        self._in_a_row = 0
        self._next = 0.0

    def admits(self) -> bool:
        """Whether a call makes sense now; of those that find out, only one is admitted at a time."""
        if self._in_a_row < self._failures:
            return True
        now = monotonic()
        if now < self._next:
            return False
        self._next = now + self.rest
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._in_a_row = 0

    def failed(self) -> None:
        """A call was not answered."""
        self._in_a_row += 1
        if self._in_a_row == self._failures:
            self._next = monotonic() + self.rest


_breakers: Final[WeakKeyDictionary[Link, Breaker]] = WeakKeyDictionary()


def breaker_of(redis: AnyRedis) -> Breaker:
    """The breaker that all patterns on this client and event loop share.

    Raises:
        TransportError: This is not an asyncio client of redis-py.
    """
    link = link_of(redis)
    breaker = _breakers.get(link)
    if breaker is None:
        breaker = _breakers[link] = Breaker()
    return breaker
