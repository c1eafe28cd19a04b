"""Lua source: read once from the `.lua` files beside the Python, named by its SHA1."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

__all__ = ("KNOWN", "Source", "code_of", "new_source", "read_source")

_COMMENT: Final = re.compile(rb"^ *--.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """One script as the server gets it."""

    name: str
    text: bytes
    sha: str


KNOWN: Final[dict[str, Source]] = {}
"""Every script imported so far, by SHA1: what the server has after a connection was opened."""


def read_source(package: str, name: str, fragments: tuple[str, ...] = (), calls: tuple[str, ...] = ()) -> Source:
    """Read `<package>/lua/<name>.lua` without its comments, the shared fragments and other scripts it uses in front.

    A script that is called becomes a function of its name in the local table `calls`; it takes its KEYS and its ARGV.
    """
    folder = files(package) / "lua"
    shared = [(folder / f"{part}.lua").read_bytes() for part in (*fragments, *calls, name)]
    for i, part in enumerate(calls, len(fragments)):
        shared[i] = b"function calls.%s(KEYS, ARGV)\n%send\n" % (part.encode(), shared[i])
    if calls:
        shared.insert(len(fragments), b"local calls = {}\n")
    source = new_source(name, code_of(b"\n".join(shared)))
    KNOWN[source.sha] = source
    return source


def code_of(text: bytes) -> bytes:
    """Lua without the lines that are comments."""
    return _COMMENT.sub(b"", text)


def new_source(name: str, text: bytes) -> Source:
    """The source of a script that new connections do not load by themselves."""
    return Source(name, text, hashlib.sha1(text, usedforsecurity=False).hexdigest())
