"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from aioredis_patterns.embedded import EmbeddedServer


def describe(server: EmbeddedServer) -> str:
    """Machine, interpreter, event loop's home and server, in one line each."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("redis", "hiredis", "anyio"))
    return "\n".join(
        (
            f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}",
            f"{platform.python_implementation()} {platform.python_version()}, {packages}",
            f"{server.flavor} {server.version}",
        )
    )


def processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
