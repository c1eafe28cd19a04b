"""A plugin of pytest that lets mutants meet tests: these are collected once, and each mutant has a fork of the process.

`MEETINGS` names a file of JSON, one meeting a line; `VERDICTS` is the descriptor that one word is written to for each.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pytest
from hypothesis import Phase, settings

from aioredis_patterns._core.lua import KNOWN, code_of, new_source
from aioredis_patterns._core.scripts import Script

__all__ = ("HUNG", "KILLED", "SURVIVED", "Meeting")

SURVIVED, KILLED, HUNG = "survived", "killed", "hung"
PATIENCE: Final = 300.0
"""Seconds that the tests of a script may take."""

_FAILED: Final = 2
"""How a fork ends in which a test fails; one that hangs is ended by pytest-timeout, with 1."""

settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None)
"""What has failed need not become smaller."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A mutant and the tests that it meets, in their order."""

    path: str
    original: str
    mutated: str
    tests: Sequence[str]

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Hold the meetings in the place of the tests' own run."""
    items = {item.nodeid: item for item in session.items}
    meetings = Path(os.environ["MEETINGS"]).read_text().splitlines()
    with os.fdopen(int(os.environ["VERDICTS"]), "w", buffering=1) as verdicts:
        for line in meetings:
            meeting = Meeting(**json.loads(line))
            print(_verdict(meeting, _chosen(items, meeting.tests)), file=verdicts)
    return True


def _chosen(items: dict[str, pytest.Item], tests: Sequence[str]) -> list[pytest.Item]:
    """The tests that are named, or all."""
    return [items[test] for test in tests] or [*items.values()]


def _verdict(meeting: Meeting, items: list[pytest.Item]) -> str:
    """What becomes of one mutant; what runs in other processes reads it from the disk."""
    place = Path(meeting.path)
    place.write_text(meeting.mutated)
    fork = multiprocessing.get_context("fork").Process(target=_meet, args=(meeting, items))
    fork.start()
    fork.join(PATIENCE)
    fork.kill()
    fork.join()
    place.write_text(meeting.original)
    return {0: SURVIVED, _FAILED: KILLED}.get(fork.exitcode, HUNG)


def _meet(meeting: Meeting, items: list[pytest.Item]) -> None:
    """Mutate what is loaded, and run the tests until one fails."""
    _mutate(code_of(meeting.original.encode()), code_of(meeting.mutated.encode()))
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if item.session.testsfailed:
            sys.exit(_FAILED)


def _mutate(original: bytes, mutated: bytes) -> None:
    for script in [one for one in gc.get_objects() if isinstance(one, Script) and original in one.source.text]:
        KNOWN.pop(script.source.sha, None)
        script.source = new_source(script.name, script.source.text.replace(original, mutated))
        KNOWN[script.source.sha] = script.source
