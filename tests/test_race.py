"""The race of the benchmarks: what its page says of a run, and when its check fails."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.racing.page import text
from benchmarks.racing.results import TOLERANCE, fallen, load, merged, save


def run(who: str, part: str, rate: float, **place: Any) -> dict[str, Any]:
    """One contender in one place."""
    where = {"server": "redis", "loop": "asyncio", "room": "locks", "what": "a lock", "tasks": 50} | place
    return where | {"who": who, "part": part, "rate": rate, "cpu_us": 20.0, "p99_ms": 2.0}


def cost(who: str, part: str, size: float) -> dict[str, Any]:
    """What a call of one contender costs."""
    where = {"server": "redis", "loop": "asyncio", "room": "locks", "what": "a lock"}
    return where | {"who": who, "part": part, "sent": 2, "executed": 4, "bytes": size, "connections": 1}


def a_run() -> dict[str, Any]:
    """A row that is won, one that is lost, one that falls short, and a peer that fails."""
    return {
        "date": "2026-01-01",
        "machine": "a machine",
        "python": "CPython 3.11",
        "packages": {"redis": "8"},
        "servers": {"redis": "7.0"},
        "rounds": 5,
        "seconds": 0.15,
        "took_minutes": 20,
        "smoke": False,
        "libraries": {"limits": "5"},
        "missing": ["nobody"],
        "runs": [
            run("ours", "ours", 70_000) | {"target": 6.0},
            run("slow", "peer", 5_000),
            run("fast", "peer", 10_000),
            run("bare", "beside", 90_000),
            run("ours", "ours", 8_000, tasks=1) | {"p99_ms": 3.0},
            run("fast", "peer", 10_000, tasks=1),
            run("ours", "ours", 20_000, room="caches", what="one key for all") | {"target": 8.0},
            run("cashews", "peer", 10_000, room="caches", what="one key for all"),
        ],
        "costs": [cost("ours", "ours", 72), cost("fast", "peer", 40)],
        "failures": [run("slow", "peer", 0, tasks=500) | {"error": "too many"}],
        "growth": [{"server": "redis", "what": "a claim", "size": 100, "us": 50}],
    }


@pytest.mark.parametrize(
    "line",
    [
        "| a lock | 50 | 70,000 | 10,000 | fast | 6 | 7.0 |",
        "| a lock | 1 | 8,000 | 10,000 | fast |  | **0.80 lost** |",
        "| one key for all | 50 | 20,000 | 10,000 | cashews | 8 | 2.0 *short* |",
        "| a lock | 1 | **3 lost** | 2 | 20 | 20 |",
        "| a lock | ours | 2 | 4 | 1 | **72 lost** |",
        "| a lock | fast | 2 | 4 | 1 | 40 |",
        "| a claim | redis | 50 |",
        "- could not be installed, and are left out: nobody",
        "- slow failed, and is left out of: locks, a lock, 500 tasks; too many (redis with asyncio)",
        "  - locks, a lock: 1 task **0.80 lost**",
        "  - caches, one key for all: 50 tasks 2.0 *short* of 8",
        "  - locks, a lock: 72, another 40",
    ],
)
def test_the_page_has_every_row_of_a_run(line: str) -> None:
    """What was measured stands on the page, and what is lost, short, missing or failed is marked as that."""
    assert line in text(a_run()).splitlines()


def test_every_loss_on_the_page_has_its_reason() -> None:
    """Above each row that is lost or short stands a line that explains it."""
    page = text(a_run())
    losses = page.partition("## What we lose")[2]
    assert "cashews reads a key once" in losses
    assert "leaves its fence" in losses
    assert "Not explained" not in page


def test_a_ratio_that_fell_is_told() -> None:
    """The check names the row whose ratio is lower by more than the tolerance, even where it is faster by time."""
    now = a_run()
    now["runs"][0]["rate"] *= 2
    now["runs"][2]["rate"] *= 2 / (1 - TOLERANCE) + 0.1
    (line,) = fallen(a_run(), now)
    assert line.startswith("locks, a lock, 50 tasks (redis, asyncio): ")


def test_a_slower_machine_is_no_regression() -> None:
    """Rates of which all fell alike have the ratios of before."""
    now = a_run()
    for one in now["runs"]:
        one["rate"] /= 3
    assert fallen(a_run(), now) == []


def test_a_row_that_ours_no_longer_does_is_told() -> None:
    """A ratio that cannot be measured any more because ours failed has fallen."""
    now = a_run()
    now["runs"] = [one for one in now["runs"] if one["part"] != "ours" or one["tasks"] != 50 or one["room"] != "locks"]
    assert len(fallen(a_run(), now)) == 1


def test_a_room_alone_keeps_the_figures_of_the_others(tmp_path: Path) -> None:
    """What was measured before stays in the file where a later run did not measure it."""
    now = copy.deepcopy(a_run())
    now["runs"] = [one | {"rate": 1.0} for one in now["runs"] if one["room"] == "caches"]
    now["costs"], now["failures"], now["growth"] = [], [], []
    save(merged(a_run(), now), file := tmp_path / "results.json")
    kept = load(file)
    assert kept is not None
    assert [one["rate"] for one in kept["runs"]] == [70_000, 5_000, 10_000, 90_000, 8_000, 10_000, 1.0, 1.0]
    assert len(kept["costs"]) == 2
    assert kept["growth"] == a_run()["growth"]
