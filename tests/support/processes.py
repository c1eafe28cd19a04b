"""Worker processes that a test may kill, pause and listen to."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

__all__ = ("Worker", "say", "worker")

_ROOT = Path(__file__).parents[2]
_LONGEST_LINE = 2**26


class Worker:
    """A running process. `worker` makes it, and ends it."""

    def __init__(self, target: str, process: asyncio.subprocess.Process) -> None:
        self._target = target
        self._process = process
        self.pid = process.pid

    async def line(self, timeout: float = 20) -> Any:
        """The next value that the process said.

        Raises:
            EOFError: It ended, or closed its output. Its own error is on stderr.
            TimeoutError: It said nothing for so many seconds.
        """
        if self._process.stdout is None:
            raise EOFError
        async with asyncio.timeout(timeout):
            line = await self._process.stdout.readline()
        if not line:
            raise EOFError(f"{self._target} has no more to say")
        return json.loads(line)

    def kill(self) -> None:
        """End it at once: it cannot release, close or say anything."""
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def pause(self) -> None:
        """Stop it in the middle of what it does, as a long garbage collection or a frozen machine would."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._send(signal.SIGCONT)

    async def wait(self) -> int:
        """Wait for its end and give its exit code; minus the signal's number, if one ended it."""
        return await self._process.wait()

    def _send(self, signal_number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal_number)


@contextlib.asynccontextmanager
async def worker(target: str, *args: Any) -> AsyncIterator[Worker]:
    """Run a function in a process of its own.

    The process is dead and reaped when the block ends, however it ends; it ends by itself should this process die.

        async with worker("tests.locks.workers:hold", server.url, name) as process:
            assert await process.line() == "held"
            process.kill()

    Args:
        target: The module and in it the function, async or not. It answers with `say`.
        args: What the function is called with; anything that JSON can carry.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.processes",
        target,
        json.dumps(args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        limit=_LONGEST_LINE,
    )
    running = Worker(target, process)
    try:
        yield running
    finally:
        running.kill()
        await process.communicate()


def say(value: Any) -> None:
    """Tell the test something, from inside a worker; it arrives even if the process is killed right after."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _die_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _run(target: str, args: list[Any]) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    module, _, function = target.partition(":")
    answer = getattr(importlib.import_module(module), function)(*args)
    if inspect.iscoroutine(answer):
        asyncio.run(answer)


if __name__ == "__main__":
    _run(sys.argv[1], json.loads(sys.argv[2]))
