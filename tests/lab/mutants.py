"""Mutants of the Lua scripts: each has one small mistake, and the tests of its room must find it.

    python -m tests.lab.mutants --room locks --sample 40 --seed 7

A mutant lives in a copy of the project. It is killed when a test of its room fails, or does not end in time; those that
survive are named, with the line and what became of it. Some of them do what the original does.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Mutant", "mutants_of")

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0
"""Seconds that the tests of a room may take."""

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


def is_killed(mutant: Mutant, folder: Path, room: str) -> bool:
    """Whether the tests of its room fail with it."""
    original = mutant.put_into(folder)
    command = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"tests/{room}")
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, timeout=PATIENCE, check=False).returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        (folder / mutant.path).write_text(original)


def main(options: argparse.Namespace) -> int:
    scripts = sorted(
        path.relative_to(ROOT) for path in (ROOT / "aioredis_patterns" / options.room / "lua").glob("*.lua")
    )
    everyone = [mutant for script in scripts for mutant in mutants_of(script)]
    chosen = random.Random(options.seed).sample(everyone, min(options.sample, len(everyone)))
    survivors = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".nox", ".venv", "__pycache__"))
        for mutant in chosen:
            if not is_killed(mutant, folder, options.room):
                survivors.append(mutant)
                print(f"survives: {mutant}", flush=True)  # noqa: T201
    killed = len(chosen) - len(survivors)
    share = killed / len(chosen)
    print(f"{options.room}: {killed} of {len(chosen)} killed, {share:.0%}; {len(everyone)} in all")  # noqa: T201
    return int(share < options.wanted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", required=True)
    parser.add_argument("--sample", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--wanted", type=float, default=0.9, help="share that has to be killed")
    sys.exit(main(parser.parse_args()))
