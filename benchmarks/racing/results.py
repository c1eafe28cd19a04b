"""What a race has found: `results.json`, the ratios in it, and whether they have fallen since."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parent.parent / "results.json"
TOLERANCE = 0.3
"""How much of a ratio may be lost before `--check` fails: more than two quiet runs differ by."""

Results = dict[str, Any]


class Place(NamedTuple):
    """What was measured where."""

    server: str
    loop: str
    room: str
    what: str
    tasks: int

    def __str__(self) -> str:
        tasks = f"{self.tasks} task" + "s" * (self.tasks > 1)
        return f"{self.room}, {self.what}, {tasks} ({self.server}, {self.loop})"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over the fastest peer; 0 where no peer could be measured."""

    ours: dict[str, Any]
    peers: tuple[dict[str, Any], ...]

    @property
    def best(self) -> dict[str, Any] | None:
        return max(self.peers, key=lambda peer: peer["rate"], default=None)

    @property
    def value(self) -> float:
        return self.ours["rate"] / self.best["rate"] if self.best else 0.0

    @property
    def target(self) -> float | None:
        return self.ours.get("target")

    @property
    def verdict(self) -> str:
        """Lost to a peer, short of what is wanted, or neither."""
        if not self.best:
            return ""
        if self.value < 1:
            return "lost"
        return "short" if self.target and self.value < self.target else ""

    def least(self, figure: str) -> float | None:
        """The lowest of a figure among the peers."""
        return min((peer[figure] for peer in self.peers if figure in peer), default=None)


def ratios(results: Results) -> dict[Place, Ratio]:
    """Every place where ours was measured, in the order of the race."""
    runs: dict[Place, list[dict[str, Any]]] = {}
    for run in results["runs"]:
        runs.setdefault(Place(*(run[name] for name in Place._fields)), []).append(run)
    found: dict[Place, Ratio] = {}
    for place, those in runs.items():
        peers = tuple(run for run in those if run["part"] == "peer")
        for run in those:
            if run["part"] == "ours":
                found[place] = Ratio(run, peers)
    return found


def fallen(before: Results, now: Results, tolerance: float = TOLERANCE) -> list[str]:
    """One line for each ratio that is lower than before by more than the tolerance, or gone.

    Ratios and not times: a time tells of the machine and of what else it did, while those who take turns in one run
    share both, so that what is left in their ratio is the code.
    """
    fresh, lines = ratios(now), []
    measured = {(place.server, place.loop, place.room, place.what) for place in fresh}
    for place, old in ratios(before).items():
        if not old.best or place[:4] not in measured:
            continue
        if place in fresh and not fresh[place].best:
            continue  # the peers could not be run, which says nothing of ours
        new = fresh[place].value if place in fresh else 0.0
        if new < old.value * (1 - tolerance):
            lines.append(f"{place}: {new:.2f} times the fastest peer, {old.value:.2f} before")
    return lines


def merged(before: Results | None, now: Results) -> Results:
    """A run of some rooms, with what an earlier one has found in the others, in the order of the earlier one."""
    if before is None:
        return now
    parts = ("runs", "costs", "failures")
    fresh = {part_of(one) for one in now["runs"]}
    places = list(dict.fromkeys(part_of(one) for part in parts for one in before[part] + now[part]))
    kept = {part: [one for one in before[part] if part_of(one) not in fresh] for part in parts}
    joined = {part: sorted(kept[part] + now[part], key=lambda one: places.index(part_of(one))) for part in parts}
    both = {part: before[part] | now[part] for part in ("libraries", "servers")}
    rest = {"took_minutes": before["took_minutes"], "growth": now["growth"] or before["growth"]}
    return now | joined | both | rest | {"smoke": before["smoke"] or now["smoke"]}


def part_of(record: dict[str, Any]) -> tuple[str, str, str]:
    """What a run measures whole: a room on one server with one loop."""
    return record["server"], record["loop"], record["room"]


def load(file: Path = FILE) -> Results | None:
    return json.loads(file.read_text()) if file.exists() else None


def save(results: Results, file: Path = FILE) -> None:
    """One record a line, so that a difference can be read."""
    lines = []
    for name, value in results.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            records = ",\n  ".join(json.dumps(record) for record in value)
            lines.append(f"{json.dumps(name)}: [\n  {records}\n ]")
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}")
    file.write_text("{\n " + ",\n ".join(lines) + "\n}\n")
