"""Writes `docs/benchmarks.md` from `results.json`: every row that was measured, the lost ones marked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .reasons import reason
from .results import TOLERANCE, Place, Ratio, Results, ratios

PAGE = Path(__file__).parent.parent.parent / "docs" / "benchmarks.md"
FIGURES = {"rate": "calls a second", "p99_ms": "p99, ms", "cpu_us": "client CPU of a call, us"}
COSTS = {"sent": "commands sent", "bytes": "bytes of an entry", "connections": "connections"}
NOTICEABLE = 1.05
"""Figures closer than this are the same."""

HEAD = """# Benchmarks

Every library that the benchmarks of the rooms know does the same work beside ours, in one run, on one machine. All
take turns, each in a process of its own, and what counts is the ratio of the medians: a time tells of the machine, a
ratio of the code. What we lose stands here too, marked, with the reason.
"""

READING = """## How to read it

- **tasks**: so many tasks of one process call at the same time, each waiting for its answer before it calls again.
- **ratio**: our calls a second over those of the fastest other library in that row. **lost** is below 1; *short* is
  below what we set ourselves, which stands beside it.
- **CPU of a call**: what the client's process works for it (`time.process_time`). The server works beside it.
- **p99**: of a hundred calls 99 are answered in that time.
- **commands**: what a call sends, and what the server executes, the commands inside scripts included.
- **connections**: with the most tasks; none stands where a library fails with so many, as its pool does not wait.
- **bytes**: `MEMORY USAGE` of all keys, for each lock, subject, record, message, member or session. A bucket that is
  full again is not kept, which here is after a millisecond.
- Contenders in the tables that are no library, such as `bare` commands on our client, show where the ceiling is; no
  ratio is to them.

`nox -s race` repeats everything, `nox -s race -- --only locks` one room; `--write-only` writes this page anew from
`benchmarks/results.json`. `nox -s race -- --check` runs the race and fails if a ratio is lower than the one stored by
more than {tolerance:.0%}, twice: ratios, because those who take turns share the machine and what else it does.
"""


def write(results: Results, page: Path = PAGE) -> None:
    page.write_text(text(results))


def text(results: Results) -> str:
    """The whole page."""
    found = ratios(results)
    rooms = list(dict.fromkeys(place.room for place in found))
    parts = [HEAD, *smoke(results), *machine(results), READING.format(tolerance=TOLERANCE)]
    parts += ["## All ratios\n", "![Our rate over that of the fastest other library](guide/plots/race.svg)\n"]
    for room in rooms:
        parts += [f"## {room.capitalize()}\n", f"![Calls a second by tasks, {room}](guide/plots/{plot_of(room)})\n"]
        parts += [table(rates(found, room)), table(times(found, room)), table(costs(results, room))]
    parts += ["## CPU and p99\n", "![CPU of a call and p99 with 50 tasks](guide/plots/race_client.svg)\n"]
    parts += growth(results)
    parts += ["## What we lose, and what falls short\n", *shortfalls(results, found)]
    return "\n".join(part for part in parts if part) + "\n"


def plot_of(room: str) -> str:
    return f"race_{room.replace(' ', '_')}.svg"


def smoke(results: Results) -> list[str]:
    warning = "**These figures are from a smoke run and mean nothing; the page is there to be looked at.**\n"
    return [warning] if results["smoke"] else []


def machine(results: Results) -> list[str]:
    """What it was measured on, and who is not there."""
    servers = ", ".join(f"{name.capitalize()} {release}" for name, release in results["servers"].items())
    packages = ", ".join(f"{name} {release}" for name, release in results["packages"].items())
    packages = packages.replace("redis ", "redis-py ", 1)
    libraries = ", ".join(f"{name} {release}" for name, release in results["libraries"].items())
    turns = f"medians of {results['rounds']} rounds of {results['seconds']:g} s"
    lines = [
        "## On what",
        "",
        f"- {results['machine']}; client and server share them. {results['python']}, {packages}",
        f"- {servers}",
        f"- {results['date']}: {turns}, {results['took_minutes']:g} minutes in all",
        f"- the others: {libraries}",
    ]
    if results["missing"]:
        lines.append(f"- could not be installed, and are left out: {', '.join(results['missing'])}")
    return ["\n".join([*lines, *failures(results)]) + "\n"]


def failures(results: Results) -> list[str]:
    """One line for each contender that failed with so many tasks, wherever it did."""
    where: dict[tuple[str, ...], list[str]] = {}
    for one in results["failures"]:
        tasks = f", {one['tasks']} tasks" if one["tasks"] else ""
        line = (one["who"], f"{one['room']}, {one['what']}{tasks}", one["error"])
        where.setdefault(line, []).append(f"{one['server']} with {one['loop']}")
    return [
        f"- {who} failed, and is left out of: {what}; {error} ({', '.join(places)})"
        for (who, what, error), places in where.items()
    ]


def table(rows: list[list[str]]) -> str:
    """A table of Markdown; nothing where there is no row."""
    if len(rows) < 2:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines) + "\n"


def sides(found: dict[Place, Ratio]) -> list[tuple[str, str]]:
    """The servers and loops; the first is the one that all figures are given of."""
    return list(dict.fromkeys((place.server, place.loop) for place in found))


def of_room(found: dict[Place, Ratio], room: str) -> Iterator[tuple[Place, Ratio]]:
    """The rows of a room on the first server and loop."""
    first = sides(found)[0]
    return ((place, ratio) for place, ratio in found.items() if place.room == room and place[:2] == first)


def rates(found: dict[Place, Ratio], room: str) -> list[list[str]]:
    """Calls a second and the ratios, of every side."""
    first, *others = sides(found)
    heads = [f"ratio, {server}, {loop}" for server, loop in (first, *others)]
    rows = [["", "tasks", "ours/s", "fastest other/s", "which", "wanted", *heads]]
    for place, ratio in of_room(found, room):
        best = ratio.best
        other = [f"{best['rate']:,.0f}", best["who"]] if best else ["", "all failed"]
        everywhere = (found.get(place._replace(server=server, loop=loop)) for server, loop in (first, *others))
        target = f"{ratio.target:g}" if ratio.target else ""
        cells = [place.what, str(place.tasks), f"{ratio.ours['rate']:,.0f}", *other, target]
        rows.append(cells + [marked(one) for one in everywhere])
    return rows


def marked(ratio: Ratio | None) -> str:
    """A ratio with its verdict."""
    if ratio is None or not ratio.best:
        return "-"
    marks = {"lost": f"**{ratio.value:.2f} lost**", "short": f"{ratio.value:.1f} *short*"}
    return marks.get(ratio.verdict, f"{ratio.value:.1f}")


def times(found: dict[Place, Ratio], room: str) -> list[list[str]]:
    """p99 and CPU, ours and the lowest of the others."""
    rows = [["", "tasks", "p99 ms, ours", "lowest other", "CPU us, ours", "lowest other"]]
    for place, ratio in of_room(found, room):
        pairs = []
        for figure in ("p99_ms", "cpu_us"):
            other = ratio.least(figure)
            pairs += [worse(ratio.ours.get(figure), other), number(other)]
        rows.append([place.what, str(place.tasks), *pairs])
    return rows


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def is_worse(ours: float | None, other: float | None) -> bool:
    return ours is not None and other is not None and ours > other * NOTICEABLE


def worse(ours: float | None, other: float | None) -> str:
    """Ours, marked where another library needs less."""
    return f"**{number(ours)} lost**" if is_worse(ours, other) else number(ours)


def costs(results: Results, room: str) -> list[list[str]]:
    """What a call of each contender costs, on the first server where it was counted."""
    rows = [["", "", "commands sent", "executed", "connections", "bytes of an entry"]]
    for one in counted(results, room):
        least = least_costs(results, one) if one["part"] == "ours" else {}
        cells = {name: worse(one[name], least.get(name)) for name in COSTS}
        commands = [cells["sent"], number(one["executed"])]
        rows.append([one["what"], one["who"], *commands, cells["connections"], cells["bytes"]])
    return rows


def counted(results: Results, room: str = "") -> list[dict[str, Any]]:
    """The costs on the first server and loop."""
    sides = [(one["server"], one["loop"]) for one in results["costs"]]
    first = [one for one, side in zip(results["costs"], sides, strict=True) if side == sides[0]]
    return [one for one in first if room in ("", one["room"])]


def least_costs(results: Results, ours: dict[str, Any]) -> dict[str, float]:
    """The lowest cost of each kind among the other libraries in a row."""
    row = {name: ours[name] for name in ("server", "loop", "room", "what")} | {"part": "peer"}
    peers = [one for one in results["costs"] if row.items() <= one.items()]
    values = {name: [peer[name] for peer in peers if peer[name] is not None] for name in COSTS}
    return {name: min(found) for name, found in values.items() if found}


def growth(results: Results) -> list[str]:
    """How the cost of a call grows with what it works on."""
    if not (found := results["growth"]):
        return []
    sizes = list(dict.fromkeys(one["size"] for one in found))
    rows = [["us of the server for one call", "", *(f"{size:,}" for size in sizes)]]
    for what, server in dict.fromkeys((one["what"], one["server"]) for one in found):
        cost = {one["size"]: one["us"] for one in found if (one["what"], one["server"]) == (what, server)}
        rows.append([what, server, *(number(cost.get(size)) for size in sizes)])
    plot = "![Microseconds of the server for one call, by size](guide/plots/race_growth.svg)\n"
    return ["## Growth by size\n", plot, table(rows)]


def shortfalls(results: Results, found: dict[Place, Ratio]) -> list[str]:
    """Every row that is lost or falls short, under the line that explains it."""
    names, where = FIGURES | COSTS, ", ".join(f"{server} with {loop}" for server, loop in sides(found))
    explained: dict[tuple[str, str], list[str]] = {}
    for figure, room, what, case in (*slower(found), *dearer(found), *costlier(results)):
        explained.setdefault((figure, reason(figure, room, what)), []).append(f"  - {room}, {what}: {case}")
    if not explained:
        return ["Nothing in this run."]
    lines = [f"- **{names[figure]}**: {why}\n" + "\n".join(cases) for (figure, why), cases in explained.items()]
    return [f"Ratios are those on {where}; everything else is from the first of them.\n", *lines]


def slower(found: dict[Place, Ratio]) -> Iterator[tuple[str, str, str, str]]:
    """The ratios of a row with so many tasks on every side, where one of them is lost or short."""
    for line in dict.fromkeys(place[2:] for place in found):
        everywhere = [found.get(Place(*side, *line)) for side in sides(found)]
        if any(ratio and ratio.verdict for ratio in everywhere):
            target = next((ratio.target for ratio in everywhere if ratio), None)
            wanted = f" of {target:g}" if target else ""
            room, what, tasks = line
            yield "rate", room, what, f"{tasks_of(tasks)} {' / '.join(map(marked, everywhere))}{wanted}"


def dearer(found: dict[Place, Ratio]) -> Iterator[tuple[str, str, str, str]]:
    """What the client needs more of than another library, on the first side."""
    for place, ratio in found.items():
        for figure in ("p99_ms", "cpu_us"):
            ours, other = ratio.ours.get(figure), ratio.least(figure)
            if place[:2] == sides(found)[0] and is_worse(ours, other):
                yield figure, place.room, place.what, f"{tasks_of(place.tasks)} {number(ours)}, another {number(other)}"


def costlier(results: Results) -> Iterator[tuple[str, str, str, str]]:
    """What the server needs more of than for another library."""
    for one in counted(results):
        for figure, other in least_costs(results, one).items() if one["part"] == "ours" else ():
            if is_worse(one[figure], other):
                yield figure, one["room"], one["what"], f"{number(one[figure])}, another {number(other)}"


def tasks_of(count: int) -> str:
    return f"{count} task{'s' * (count > 1)}"
