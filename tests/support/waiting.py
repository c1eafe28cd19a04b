"""Waiting for a state instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def eventually(check: Callable[[], Any], timeout: float = 5, every: float = 0.01) -> Any:
    """Ask until the answer is true, and return it; the check may be a plain function or a coroutine function.

    Raises:
        AssertionError: It was not true within the timeout; the message has the last answer.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = check()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {timeout:g} s; the last answer was {answer!r}")
        await asyncio.sleep(every)
