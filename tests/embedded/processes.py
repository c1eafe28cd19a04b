"""What the system says of processes, and a parent process to be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARENT = Path(__file__).with_name("parent.py")
ROOT = PARENT.parents[2]


def living(group: int) -> set[int]:
    """The processes of a group that run or are stopped; one that only waits to be reaped is not living."""
    members = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold spaces; after it come state, parent and group.
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state not in "ZX":
            members.add(int(stat.parent.name))
    return members


def running_in(directory: Path) -> set[int]:
    """The processes that work in the directory, or were started with it on their command line."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # A server changes its command line, and its working directory, when it is up.
            if f"{directory}/" in f"{(process / 'cwd').readlink()}/ {(process / 'cmdline').read_text()}":
                found.add(int(process.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def left_in(directory: Path) -> list[Path]:
    """What the directory holds."""
    return list(directory.iterdir())


@contextmanager
def parent(count: int) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, str | int]]]]:
    """A Python process with so many servers, and what it says of each: pid, url, directory."""
    command = [sys.executable, "-m", "tests.embedded.parent", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()
