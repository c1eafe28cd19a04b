"""Events are small facts for metrics, and a hook can do no harm to the pattern that calls it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from aioredis_patterns import events
from aioredis_patterns.events import CacheRequested, emit

EVENTS = [getattr(events, name) for name in events.__all__ if name != "emit"]
EVENT = CacheRequested(name="users", outcome="hit")


def test_a_hook_gets_the_event() -> None:
    """`emit` hands the event itself to the hook, once."""
    seen: list[Any] = []
    emit(seen.append, EVENT)
    assert seen == [EVENT]
    assert seen[0] is EVENT


def test_a_failing_hook_is_logged_and_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """What a hook raises ends in the library's log, with its traceback, and nowhere else."""

    def hook(event: Any) -> None:
        raise ValueError("broken exporter")

    with caplog.at_level(logging.ERROR, logger="aioredis_patterns"):
        emit(hook, EVENT)
    (record,) = caplog.records
    assert record.name == "aioredis_patterns"
    assert record.getMessage() == "the event hook failed on CacheRequested"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "broken exporter"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, asyncio.CancelledError])
def test_a_hook_does_not_stop_a_cancellation(stop: type[BaseException]) -> None:
    """What must end the program or the task is not swallowed along with a hook's errors."""

    def hook(event: Any) -> None:
        raise stop

    with pytest.raises(stop):
        emit(hook, EVENT)


@pytest.mark.parametrize("event", EVENTS)
def test_events_are_frozen_slotted_dataclasses(event: Any) -> None:
    """An event cannot be changed by one hook under the eyes of the next, and takes no argument by position."""
    fields = dataclasses.fields(event)
    one = event(**{field.name: None for field in fields})
    assert all(field.kw_only for field in fields)
    assert not hasattr(one, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(one, fields[0].name, 1)


@pytest.mark.parametrize("event", EVENTS)
def test_events_hold_nothing_that_is_unbounded(event: Any) -> None:
    """An event holds names from the program, a closed set of outcomes, counts and durations; never a user's key."""
    names_of_the_program = {"pattern", "name", "script"}
    for name, hint in get_type_hints(event).items():
        closed = get_origin(hint) is not None and all(isinstance(value, str) for value in get_args(hint))
        assert closed or hint in (int, float) or (hint is str and name in names_of_the_program)
