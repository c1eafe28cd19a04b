"""A plugin of pytest that writes which test calls which scripts, and how long it takes: so a mutant has its tests."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aioredis_patterns._core.lua import KNOWN, Source
from aioredis_patterns._core.scripts import Script

_called: defaultdict[str, set[str]] = defaultdict(set)
_seconds: defaultdict[str, float] = defaultdict(float)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note the name of every script that is sent, or whose text is read, while the test runs."""
    pack, queue, source = Script._pack, Script.queue, vars(Script)["source"]
    called = _called[item.nodeid]

    def noted_pack(script: Script, *args: Any) -> bytes:
        called.add(script.name)
        return pack(script, *args)

    def noted_queue(script: Script, *args: Any) -> None:
        called.add(script.name)
        queue(script, *args)

    def noted_source(script: Script) -> Source:
        called.add(script.name)
        text: Source = source.__get__(script)
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Script, "source", property(noted_source, source.__set__))
        patch.setattr(Script, "_pack", noted_pack)
        patch.setattr(Script, "queue", noted_queue)
        return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] += report.duration


def pytest_sessionfinish() -> None:
    """Write the tests, the names and the texts of the scripts where `SCRIPT_CALLS` says."""
    tests = {test: {"seconds": _seconds[test], "scripts": sorted(names)} for test, names in _called.items()}
    sources = [(source.name, source.text.decode()) for source in KNOWN.values()]
    Path(os.environ["SCRIPT_CALLS"]).write_text(json.dumps({"tests": tests, "sources": sources}))
