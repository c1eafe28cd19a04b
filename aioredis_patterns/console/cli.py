"""What the command line understands. Each command is a package of its own, imported when it is called."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from aioredis_patterns._core.durations import lease_ms
from aioredis_patterns._core.keys import PREFIX, check_name

__all__ = ("main",)

_INSTALL: Final = "this needs rich: pip install 'aioredis-patterns[cli]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give the exit code: 0 all is well, 1 something is not, 2 it could not be done at all.

    Args:
        arguments: The command and its options; those of this process when None.
    """
    chosen = _parser().parse_args(arguments)
    drawn = chosen.command != "worker" and not getattr(chosen, "json", False)
    if drawn and importlib.util.find_spec("rich") is None:
        print(_INSTALL, file=sys.stderr)
        return 2
    try:
        code: int = import_module(f".{chosen.command}.command", __package__).run(chosen)
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("aioredis-patterns", description="Redis patterns for asyncio.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    tour = commands.add_parser("tour", help="run every pattern on a real server and check what it promises")
    tour.add_argument("--url", help="the server to use; one is started when this is not given")
    tour.add_argument("--plain", action="store_true", help="print lines, not a live table")
    doctor = commands.add_parser("doctor", help="check whether a server can be relied upon")
    doctor.add_argument("url", help="as connect() takes it: redis://..., rediss://, unix://, redis+cluster://")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument("--timeout", type=_seconds, default=5.0, help="seconds that all of it may take (%(default)s)")
    doctor.add_argument("--prefix", type=_prefix, default=PREFIX, help="first part of your keys (%(default)s)")
    worker = commands.add_parser("worker", help="run a worker until SIGTERM or SIGINT")
    worker.add_argument("target", metavar="module:queue", help="where the Worker is, or a function that makes it")
    return parser


def _seconds(text: str) -> float:
    try:
        return lease_ms(float(text), "--timeout") / 1000
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _prefix(text: str) -> str:
    try:
        return check_name(text, "--prefix")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
