"""Lua source: read once from the `.lua` files beside the Python, named by its SHA1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

__all__ = ("KNOWN", "Source", "read_source")


@dataclass(frozen=True, slots=True)
class Source:
    """One script as the server gets it."""

    name: str
    text: bytes
    sha: str


KNOWN: Final[dict[str, Source]] = {}
"""Every script imported so far, by SHA1: what a new connection loads before its first command."""


def read_source(package: str, name: str, fragments: tuple[str, ...] = ()) -> Source:
    """Read `<package>/lua/<name>.lua`, with the shared fragments it uses in front."""
    folder = files(package) / "lua"
    text = b"\n".join((folder / f"{part}.lua").read_bytes() for part in (*fragments, name))
    source = Source(name, text, hashlib.sha1(text, usedforsecurity=False).hexdigest())
    KNOWN[source.sha] = source
    return source
