"""The command line, run as users run it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OWN = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended, and what it said."""

    code: int | None
    out: str
    err: str
    seconds: float


async def start(
    *arguments: str, environment: Mapping[str, str] | None = None, **files: Any
) -> asyncio.subprocess.Process:
    """Start a command; its output is a pipe unless `files` say otherwise."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aioredis_patterns", *arguments),
        **({"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE} | files),
        env={**OWN, **(environment or {})},
        cwd=ROOT,
    )


async def command(*arguments: str, environment: Mapping[str, str] | None = None) -> Answer:
    """Run a command to its end."""
    started = time.monotonic()
    process = await start(*arguments, environment=environment)
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return Answer(process.returncode, out.decode(), err.decode(), time.monotonic() - started)


def without_rich(directory: Path) -> dict[str, str]:
    """The environment of a Python that has no rich."""
    (directory / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
    return {"PYTHONPATH": str(directory)}
