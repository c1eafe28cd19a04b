"""The exceptions as such."""

from __future__ import annotations

import copy
import pickle

import pytest

from aioredis_patterns.errors import LockTimeoutError, OutcomeUnknownError, PatternError, RateLimitExceededError

ERRORS = (LockTimeoutError("a", 0.5), OutcomeUnknownError("SET", "cut"), RateLimitExceededError("api", 0.5))


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_error_survives_a_copy(error: PatternError) -> None:
    """Copied for each task that waited for one reply, or pickled for another process, it is and says the same."""
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301  # our own
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
