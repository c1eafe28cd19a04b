"""What the worker processes of `tests/test_support.py` do."""

from __future__ import annotations

import asyncio
import signal
import socket
import time

from tests.support.processes import say, worker


def echo(*values: object) -> None:
    """Say each value, and end."""
    for value in values:
        say(value)


async def count() -> None:
    """Say the numbers from 0 on, until killed."""
    number = 0
    while True:
        say(number)
        number += 1
        await asyncio.sleep(0.001)


def ignore_sigterm() -> None:
    """Say so, and live on, whatever one asks."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("ignoring")
    while True:
        time.sleep(1)


def stay_connected(host: str, port: int) -> None:
    """Keep a connection open until killed."""
    with socket.create_connection((host, port)):
        while True:
            time.sleep(1)


async def start_another(host: str, port: int) -> None:
    """Be the parent of a worker that stays connected."""
    async with worker("tests.support.workers:stay_connected", host, port) as child:
        await child.wait()


def fail() -> None:
    """End by an error."""
    raise RuntimeError("on purpose")
