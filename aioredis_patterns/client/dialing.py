"""Opening a connection: redis-py connects and shakes hands, then a `Wire` takes the transport over."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    DataError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.events import Reconnected, emit
from aioredis_patterns.types import EventHook

from .preloading import preload
from .redis_py import never_again
from .wire import Owner, Wire

__all__ = ("Dialer", "plain")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5
_SHORTEST_ATTEMPT = 1.0
_REFUSALS = (AuthenticationError, AuthorizationError, ResponseError, DataError)
# AttributeError, TypeError: asyncio streams raise them when the peer closes during a write.
_PASSING = (RedisError, OSError, AttributeError, TypeError)


def plain(connection: AbstractConnection, protocol: int | None = None) -> AbstractConnection:
    """Prepare a connection of the user's pool for sharing: nothing sent twice, no maintenance pushes, our deadlines.

    It speaks the protocol that the user's own connections speak, so that replies keep the shapes redis-py expects;
    3 is for what lives on pushes.
    """
    connection.retry = never_again()
    connection.protocol = protocol or connection.protocol
    connection.maint_notifications_config = None
    connection.socket_timeout = None  # under which redis-py may lose a cancellation before Python 3.12
    connection.health_check_interval = 0
    return connection


class Dialer:
    """Opens connections until one stands or nobody waits for it.

    Args:
        make: Makes an unconnected redis-py connection.
        timeout: Seconds that one attempt may take; it gets a second at least, because a handshake takes more round
            trips than the call that waits for it.
        encoding: How strings of decoded replies are encoded; None when nothing is ever decoded.
        errors: What to do with bytes that do not decode.
        protocol: The protocol's version; what the user's connections speak when None.
        preloads: Whether scripts are to be called on its connections.
    """

    before: Callable[[AbstractConnection], Awaitable[None]] | None = None
    """Awaited with each connection after its handshake, before the wire takes it over."""

    def __init__(
        self,
        make: Callable[[], AbstractConnection],
        *,
        timeout: float,
        encoding: str | None = None,
        errors: str = "strict",
        protocol: int | None = None,
        preloads: bool = False,
    ) -> None:
        self.last_error: Exception | None = None
        self._attempts = 0  # since a connection stood
        self._began = 0.0  # the first of them, on the monotonic clock
        self._refusal: Exception | None = None
        self._refused_for = _FIRST_PAUSE
        self._again_at = 0.0
        self._make = make
        self._timeout = max(timeout, _SHORTEST_ATTEMPT)
        self._protocol = protocol
        self._preloads = preloads
        self._encoding, self._errors = encoding, errors

    async def dial(self, owner: Owner, waited_for: Callable[[], bool]) -> Wire | None:
        """Give a wire, or None when nobody waits any more.

        Raises:
            AuthenticationError, ResponseError: The server refuses this client for good, or did a moment ago.
            Exception: What the user's own part of the handshake raised, or an option that redis-py does not take.
        """
        pause = _FIRST_PAUSE
        if self.last_error is None:
            self._attempts, self._began = 0, time.monotonic()
        while waited_for():
            self._check_refusal()
            self._attempts += 1
            connection = plain(self._make(), self._protocol)  # an option that redis-py does not take is told at once
            try:
                return await self._open(connection, owner)
            except Exception as error:
                self.last_error = error
                if _for_good(error):
                    self._refused_with(error)
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, _LONGEST_PAUSE)
        return None

    def tell_reconnected(self, hook: EventHook) -> None:
        """Tell the hook how long it took to have a connection again."""
        emit(hook, Reconnected(attempts=self._attempts, duration=time.monotonic() - self._began))

    def _check_refusal(self) -> None:
        """Whoever comes right after a refusal gets the same one: the server is not asked for each of them."""
        if self._refusal is not None and time.monotonic() < self._again_at:
            raise self._refusal.with_traceback(None)

    def _refused_with(self, error: Exception) -> None:
        self._refusal = error
        self._refused_for = min(self._refused_for * 2, _LONGEST_PAUSE)
        self._again_at = time.monotonic() + self._refused_for * random.uniform(0.5, 1)

    async def _open(self, connection: AbstractConnection, owner: Owner) -> Wire:
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()
                if self.before is not None:
                    await self.before(connection)
                if self._preloads:
                    await preload(connection)
            wire = Wire(connection, owner, self._encoding, self._errors)
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError(f"no connection within {self._timeout:g} s") from error
            raise
        self.last_error = self._refusal = None
        self._refused_for = _FIRST_PAUSE
        return wire


def _for_good(error: Exception) -> bool:
    if isinstance(error, BusyLoadingError):
        return False
    return isinstance(error, _REFUSALS) or not isinstance(error, _PASSING)
