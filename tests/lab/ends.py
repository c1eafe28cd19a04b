"""With which errors a call may end in a storm: those of a network and of servers, and a pattern's own no."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tests.lab.history import Call

__all__ = ("unexplained",)

_EXPLAINED: Final = frozenset(
    (
        *("ConnectionError", "TimeoutError", "OutcomeUnknownError"),
        *("ReadOnlyError", "BusyLoadingError", "ClusterDownError", "MovedError", "AskError", "TryAgainError"),
        *("LockTimeoutError", "LockLostError", "LockError", "RateLimitExceededError"),
    )
)
_REFUSED: Final = ("NOREPLICAS", "LOADING")
"""How the refusals of a server begin that has not, or not yet, what it needs."""


def unexplained(calls: Sequence[Call]) -> Iterator[str]:
    """The calls that ended with an error which no storm explains, as that of a script or of an argument."""
    for call in calls:
        said = call.result
        if call.outcome != "ok" and said is not None and said not in _EXPLAINED and not said.startswith(_REFUSED):
            yield f"{call.operation} ended with {said}"
