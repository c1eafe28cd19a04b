"""Packing a command into the bytes of the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import hiredis
from redis._parsers import Encoder

__all__ = ("pack_command", "packer_for")

pack_command: Final = cast(Callable[[tuple[Any, ...]], bytes], hiredis.pack_command)  # whose stub knows one argument
"""Packs str, bytes, int and float; anything else is a TypeError."""


def packer_for(encoder: Encoder) -> Callable[[tuple[Any, ...]], bytes]:
    """What packs the commands of a client with this encoding.

    hiredis packs the common types by itself; the rest, and every str in another encoding than UTF-8, is left to
    redis-py's encoder, which raises `redis.exceptions.DataError` for what has no one meaning as a string.
    """

    def pack_encoded(args: tuple[Any, ...]) -> bytes:
        name, *rest = args
        word = name.encode() if isinstance(name, str) else name  # no encoding of the user's changes a command's name
        return pack_command((word, *(bytes(encoder.encode(arg)) for arg in rest)))

    def pack(args: tuple[Any, ...]) -> bytes:
        try:
            return pack_command(args)
        except TypeError:
            return pack_encoded(args)

    plain = encoder.encoding.lower() in ("utf-8", "utf8") and encoder.encoding_errors == "strict"
    return pack if plain else pack_encoded
