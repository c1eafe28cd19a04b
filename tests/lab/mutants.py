"""Mutants of the Lua scripts: each has one small mistake, and the tests of its script must find it.

    python -m tests.lab.mutants --rooms locks integrations/asgi --sample 40 --seed 7

A room's tests, and those of all rooms' lifetimes, first run once without any mistake: they must pass, and are asked
which scripts each of them calls.
A mutant lives in a copy of the project, in a fork of a process that has collected the tests, and meets those that call
its script, quickest first, with the pipelined client. It is killed when one of them fails, or does not end in time;
those that survive are named, with the line and what became of it. Those that do what the original does stand in
`equivalent.py` and are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aioredis_patterns._core.lua import code_of
from tests.lab.equivalent import EQUIVALENT
from tests.lab.forks import HUNG, KILLED, SURVIVED, Meeting

__all__ = ("Mutant", "mutants_of")

ROOT = Path(__file__).resolve().parents[2]
OF_ALL_ROOMS = "tests/test_lifetimes.py"

FORKS = "-p tests.lab.forks --hypothesis-profile=mutants --timeout-method=thread".split()
PATIENCE = 30.0
"""Seconds that a test may take with a mutant."""

OTHER_CLIENTS = re.compile(r"\[.*(plain|decoding)")
"""Tests that a script meets with the pipelined client too."""

SWAPS = {
    " < ": " <= ",
    " <= ": " < ",
    " > ": " >= ",
    " >= ": " > ",
    " == ": " ~= ",
    " ~= ": " == ",
    " and ": " or ",
    " or ": " and ",
    " + ": " - ",
    " - ": " + ",
    "math.min(": "math.max(",
    "math.max(": "math.min(",
    "'NX'": "'XX'",
    "'XX'": "'NX'",
}
_NUMBER = re.compile(r"(?<=[\s(+*/-])\d+(?=[\s),]|$)")
_STATEMENT = re.compile(r"\s*redis\.call\([^()]*(\([^()]*\)[^()]*)*\)\s*$")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A script with one line that is not as it should be."""

    path: Path
    number: int
    line: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.line.strip() or 'the line is gone'}"

    @property
    def name(self) -> str:
        """What it is called among the equivalent ones."""
        return f"{self.path.stem}: {self.line.strip()}"

    def meeting(self, tests: Sequence[str] = ()) -> Meeting:
        """Itself and the tests that it meets; all, where none is named."""
        original = (ROOT / self.path).read_text()
        lines = original.splitlines()
        lines[self.number - 1] = self.line
        return Meeting(str(self.path), original, "\n".join(lines) + "\n", tests)


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a script: comparisons, operators and numbers that are others, and commands that are left out."""
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        code, dashes, comment = line.partition("--")
        if re.match(r"\s*local [A-Za-z_, ]+ = .*(KEYS|ARGV)", code):
            continue
        changed = [code[: at.start()] + SWAPS[at[0]] + code[at.end() :] for at in _places(code)]
        changed += [f"{code[: at.start()]}{int(at[0]) + 1}{code[at.end() :]}" for at in _NUMBER.finditer(code)]
        changed += [""] * bool(_STATEMENT.match(code))
        yield from (Mutant(path, number, one + dashes + comment) for one in changed)


def _places(code: str) -> Iterator[re.Match[str]]:
    return re.finditer("|".join(map(re.escape, SWAPS)), code)


def tests_by_script(folder: Path, room: str) -> dict[str, list[str]]:
    """The tests that call each script or fragment of a room, quickest first; the room's tests have to pass."""
    calls = folder / "calls.json"
    env = {"SCRIPT_CALLS": str(calls)}
    with _pytest(folder, "-p", "tests.lab.calls", folder_of(room), OF_ALL_ROOMS, env=env) as traced:
        if traced.wait():
            raise SystemExit("the tests fail without any mutant")
    whole = json.loads(calls.read_text())
    tests = sorted(whole["tests"], key=lambda test: whole["tests"][test]["seconds"])
    return {
        path.stem: [
            test
            for test in tests
            if not OTHER_CLIENTS.search(test) and not users.isdisjoint(whole["tests"][test]["scripts"])
        ]
        for path in scripts_of(room)
        for users in [_users(path, whole["sources"])]
    }


def scripts_of(room: str) -> list[Path]:
    """The room's Lua files, fragments too."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "aioredis_patterns" / room / "lua").glob("*.lua"))


def folder_of(room: str) -> str:
    """Where the tests of a room are; those of a folder in it are beside its own."""
    return f"tests/{room.partition('/')[0]}"


def rooms() -> list[str]:
    """All that have scripts."""
    folders = (ROOT / "aioredis_patterns").glob("**/lua")
    return sorted(folder.parent.relative_to(ROOT / "aioredis_patterns").as_posix() for folder in folders)


def _users(path: Path, sources: list[tuple[str, str]]) -> set[str]:
    """The names of the scripts in which the file's code stands."""
    code = code_of((ROOT / path).read_bytes()).decode()
    return {name for name, text in sources if code in text}


def verdicts(meetings: Sequence[Meeting], folder: Path, patience: float, *tests: str) -> Iterator[str]:
    """What becomes of each mutant, one after the other; all its tests are among those of the files that are named."""
    held = folder / "meetings.json"
    held.write_text("".join(f"{meeting}\n" for meeting in meetings))
    reading, writing = os.pipe()
    env = {"MEETINGS": str(held), "VERDICTS": str(writing)}
    with _pytest(folder, *FORKS, f"--timeout={patience}", *tests, env=env, pass_fds=(writing,)):
        os.close(writing)
        with os.fdopen(reading) as lines:
            yield from map(str.strip, lines)


def _pytest(folder: Path, *args: str, env: dict[str, str], pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args)
    environment = os.environ | {"PYTHONPATH": str(folder)} | env
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=sys.stderr, pass_fds=pass_fds)


def fates(chosen: Sequence[Mutant], folder: Path, room: str) -> Iterator[tuple[Mutant, str]]:
    """Each mutant and what becomes of it; one whose script no traced test calls meets the whole room."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".nox", ".venv", "__pycache__"))
    tests = tests_by_script(folder, room)
    meetings = [mutant.meeting(tests[mutant.path.stem]) for mutant in chosen]
    yield from zip(chosen, verdicts(meetings, folder, PATIENCE, folder_of(room), OF_ALL_ROOMS), strict=True)


def meet(room: str, sample: int, seed: int) -> Counter[str]:
    """Let mutants of one room meet its tests, name those that live, and count what became of all."""
    everyone = [mutant for script in scripts_of(room) for mutant in mutants_of(script)]
    counted = [mutant for mutant in everyone if mutant.name not in EQUIVALENT]
    chosen = random.Random(seed).sample(counted, min(sample, len(counted)))
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        for mutant, fate in fates(chosen, Path(temporary) / "project", room):
            counts[fate] += 1
            if fate != KILLED:
                print(f"{fate}: {mutant}", flush=True)  # noqa: T201
    print(f"{room}: {told(counts)}; {len(everyone)} in all, {len(everyone) - len(counted)} equivalent")  # noqa: T201
    return counts


def told(counts: Counter[str]) -> str:
    """How many were killed, and how."""
    killed = counts[KILLED] + counts[HUNG]
    return f"{killed} of {counts.total()} killed, {killed / counts.total():.1%}, {counts[HUNG]} as a test hung"


def main(options: argparse.Namespace) -> int:
    counts = sum((meet(room, options.sample, options.seed) for room in options.rooms), Counter[str]())
    print(f"in all: {told(counts)}")  # noqa: T201
    return int(counts[SURVIVED] > (1 - options.wanted) * counts.total())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", default=rooms())
    parser.add_argument("--sample", type=int, default=1_000_000, help="of each room")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--wanted", type=float, default=0.9, help="share that has to be killed")
    sys.exit(main(parser.parse_args()))
