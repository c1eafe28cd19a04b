"""Mutants of the Lua scripts: each has one small mistake, and the tests of its script must find it.

    python -m tests.lab.mutants --room locks --sample 40 --seed 7

The room's tests, and those of all rooms' lifetimes, first run once without any mistake: they must pass, and are asked
which scripts each of them calls.
A mutant lives in a copy of the project and meets the tests that call its script, quickest first, with the pipelined
client. It is killed when one of them fails, or does not end in time; those that survive are named, with the line and
what became of it. Those that do what the original does stand in `equivalent.py` and are left out.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.equivalent import EQUIVALENT

__all__ = ("Mutant", "mutants_of")

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
"""Seconds that the tests of a script may take."""

OF_ALL_ROOMS = "tests/test_lifetimes.py"

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

    def put_into(self, folder: Path) -> str:
        """Write it over the script of a copy of the project; what was there."""
        place = folder / self.path
        whole = place.read_text()
        lines = whole.splitlines()
        lines[self.number - 1] = self.line
        place.write_text("\n".join(lines) + "\n")
        return whole


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
    done = _pytest(folder, "-p", "tests.lab.calls", f"tests/{room}", OF_ALL_ROOMS, env={"SCRIPT_CALLS": str(calls)})
    if done.returncode:
        raise SystemExit(f"the tests fail without any mutant:\n{done.stdout}")
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


def _users(path: Path, sources: list[tuple[str, str]]) -> set[str]:
    """The names of the scripts in which the file's code stands."""
    code = re.sub(r"^ *--.*\n", "", (ROOT / path).read_text(), flags=re.MULTILINE)
    return {name for name, text in sources if code in text}


def is_killed(mutant: Mutant, folder: Path, tests: Sequence[str]) -> bool:
    """Whether one of the tests fails with it."""
    original = mutant.put_into(folder)
    try:
        done = _pytest(folder, "-x", "--timeout=30", *tests)
    except subprocess.TimeoutExpired:
        return True
    finally:
        (folder / mutant.path).write_text(original)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest did not run:\n{done.stdout}{done.stderr}")
    return done.returncode == 1


def _pytest(folder: Path, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args)
    environment = os.environ | {"PYTHONPATH": str(folder)} | (env or {})
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def survivors_of(chosen: list[Mutant], folder: Path, room: str) -> Iterator[Mutant]:
    """Those of the mutants that no test finds; a script that no traced test calls meets the whole room."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".nox", ".venv", "__pycache__"))
    tests = tests_by_script(folder, room)
    for mutant in chosen:
        if not is_killed(mutant, folder, tests[mutant.path.stem] or [f"tests/{room}"]):
            yield mutant


def main(options: argparse.Namespace) -> int:
    everyone = [mutant for script in scripts_of(options.room) for mutant in mutants_of(script)]
    counted = [mutant for mutant in everyone if mutant.name not in EQUIVALENT]
    chosen = random.Random(options.seed).sample(counted, min(options.sample, len(counted)))
    survivors = 0
    with tempfile.TemporaryDirectory() as temporary:
        for mutant in survivors_of(chosen, Path(temporary) / "project", options.room):
            survivors += 1
            print(f"survives: {mutant}", flush=True)  # noqa: T201
    killed = len(chosen) - survivors
    share = killed / len(chosen)
    print(  # noqa: T201
        f"{options.room}: {killed} of {len(chosen)} killed, {share:.0%}; {len(everyone)} in all, "
        f"{len(everyone) - len(counted)} equivalent"
    )
    return int(share < options.wanted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", required=True)
    parser.add_argument("--sample", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--wanted", type=float, default=0.9, help="share that has to be killed")
    sys.exit(main(parser.parse_args()))
