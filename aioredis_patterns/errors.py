"""Every exception this library raises of its own, drawn as one tree.

::

    Exception
    └── PatternError
        ├── RefusedError                  the world said no
        │   ├── LockError
        │   │   ├── BarrierBrokenError
        │   │   ├── LockTimeoutError
        │   │   └── LockLostError
        │   ├── QueueFullError
        │   ├── RateLimitExceededError
        │   └── SessionConflictError
        ├── OutcomeUnknownError           a written command lost its reply
        ├── LoadFailedError               a loader failed a moment ago
        ├── CodecError                    bytes that are not what they should be
        ├── TransportError                the client was used in a way that cannot work
        └── ServerUnavailableError        no server to start, or one that is too old

"The world said no" and "Redis failed" are different branches. Redis' own failures stay redis-py's exceptions
(`redis.exceptions.ConnectionError`, `TimeoutError`, `ResponseError`) and pass through untouched, except where this
library knows more: `OutcomeUnknownError` is not one of them, so no outer retry sends the command a second time. After
a `ConnectionError` nothing was done. After a `TimeoutError` it may have been, and calling again does no harm.
"""

from __future__ import annotations

from typing import Any

__all__ = (
    "BarrierBrokenError",
    "CodecError",
    "LoadFailedError",
    "LockError",
    "LockLostError",
    "LockTimeoutError",
    "OutcomeUnknownError",
    "PatternError",
    "QueueFullError",
    "RateLimitExceededError",
    "RefusedError",
    "ServerUnavailableError",
    "SessionConflictError",
    "TransportError",
)


class PatternError(Exception):
    """Base of everything this library raises of its own. It can be copied and pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is otherwise made anew from its message, which is not what the classes here are made from.
        return Exception.__new__, (type(self), *self.args), self.__dict__


class RefusedError(PatternError):
    """Base of the answers that are a plain no: Redis works, the request was refused."""


class LockError(RefusedError):
    """Base of what a lock can refuse.

    Args:
        name: The lock's name.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class LockTimeoutError(LockError):
    """Raised when a lock could not be had within the caller's timeout.

    Args:
        name: The lock's name.
        timeout: Seconds that were waited.
        what: What did not happen in that time.
    """

    def __init__(self, name: str, timeout: float, what: str = "") -> None:
        super().__init__(name, f"{what or f'lock {name!r} was not free'} within {timeout:g} s")
        self.timeout = timeout


class LockLostError(LockError):
    """Raised when a lease ended while its holder still believed to hold it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, f"the lease on lock {name!r} was lost: {reason}")
        self.reason = reason


class BarrierBrokenError(LockError):
    """Raised when a barrier will not be passed: a party of it timed out or died, or somebody broke it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, f"barrier {name!r} is broken: {reason}")
        self.reason = reason


class QueueFullError(RefusedError):
    """Raised when a queue with a `maxlen` has no room for what is put within the caller's timeout.

    Args:
        name: The queue's name.
        maxlen: How many messages may wait in it.
    """

    def __init__(self, name: str, maxlen: int) -> None:
        super().__init__(f"queue {name!r} is full: {maxlen} messages wait in it")
        self.name = name
        self.maxlen = maxlen


class RateLimitExceededError(RefusedError):
    """Raised when a limiter cannot admit a call within the caller's timeout.

    Args:
        policy: Name of the limit that refused.
        retry_after: Seconds until the same call would pass; infinite when it never will.
    """

    def __init__(self, policy: str, retry_after: float) -> None:
        super().__init__(f"rate limit {policy!r} exceeded; retry after {retry_after:.3f} s")
        self.policy = policy
        self.retry_after = retry_after


class SessionConflictError(RefusedError):
    """Raised when a session was changed, rotated or ended by another since it was loaded.

    Args:
        name: The store's name.
        what: What had happened.
    """

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"a session of {name!r} was {what} since it was loaded")
        self.name = name


class OutcomeUnknownError(PatternError):
    """Raised when a command was written and its reply never came: the server may or may not have executed it.

    Args:
        command: The command's name, without its arguments.
        reason: What happened to the reply.
    """

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}; the server may or may not have executed it")
        self.command = command
        self.reason = reason


class LoadFailedError(PatternError):
    """Raised when a cache was told to keep failures, and a load of the value failed a moment ago.

    Args:
        name: Of the cache.
        failure: What the loader raised, in words.
    """

    def __init__(self, name: str, failure: str) -> None:
        super().__init__(f"a load of cache {name!r} failed a moment ago: {failure}")
        self.name = name
        self.failure = failure


class CodecError(PatternError):
    """Raised when a value cannot be encoded, or stored bytes do not decode into the type asked for."""


class TransportError(PatternError):
    """Raised when a client is used in a way that cannot work.

    It is of the wrong kind, has too many blocking reads under way, is asked for a command that no node of its cluster
    can answer, or holds one connection that belongs to another event loop.
    """


class ServerUnavailableError(PatternError):
    """Raised when the embedded server finds no server program, or one that does not start or is too old."""
