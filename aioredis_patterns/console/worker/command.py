"""`aioredis-patterns worker`: finds a worker and runs it until it is asked to end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from aioredis_patterns.queues import Worker

__all__ = ("run",)

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run(chosen: argparse.Namespace) -> int:
    """Run the worker, and give the exit code: 0 it was asked to end and did, 1 it failed, 2 there is no such worker.

    So a supervisor may start it again after 1, and not after 2: the same command would fail the same way.
    """
    logging.basicConfig(format=_FORMAT, level=logging.INFO)
    sys.path.insert(0, str(Path.cwd()))
    try:
        worker = _find(chosen.target)
    except (ImportError, SyntaxError, AttributeError, TypeError, ValueError) as error:
        print(f"no worker {chosen.target!r}: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(worker.run())
    except Exception:
        logging.getLogger("aioredis_patterns").exception("the worker %r failed", chosen.target)
        return 1
    return 0


def _find(target: str) -> Worker[Any]:
    """The worker of this place, or what the function there makes."""
    module, colon, name = target.partition(":")
    if not colon:
        raise ValueError("it is to be given as module:name")
    found = getattr(import_module(module), name)
    worker = found if isinstance(found, Worker) else found()
    if isinstance(worker, Worker):
        return worker
    raise TypeError(f"it is a {type(worker).__name__}")
