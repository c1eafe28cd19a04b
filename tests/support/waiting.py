"""Waiting for a state instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(check: Callable[[], object], timeout: float = 5, every: float = 0.01) -> None:
    """Poll until the check holds.

    Raises:
        AssertionError: It did not within the timeout.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    while not check():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not so within {timeout} s")
        await asyncio.sleep(every)
