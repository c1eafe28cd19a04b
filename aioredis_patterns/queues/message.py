"""What is written for one message: its headers and its payload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import Codec

__all__ = ("Envelope", "pack", "unpack")

_NONE: Final = b"\n"


class Envelope(NamedTuple):
    """A message as it is stored."""

    headers: dict[str, str]
    body: bytes


def pack(codec: Codec[Any], payload: Any, headers: Mapping[str, str] | None) -> bytes:
    """The bytes of a message: headers in one line, or an empty one, then the payload.

    Raises:
        CodecError: The codec refuses the payload.
        TypeError: A header's name or value is not a str.
    """
    body = codec.encode(payload)
    if not headers:
        return _NONE + body
    if not all(isinstance(part, str) for pair in headers.items() for part in pair):
        raise TypeError(f"headers must be str by str, not {dict(headers)!r:.80}")
    return json.dumps(dict(headers)).encode() + b"\n" + body


def unpack(record: bytes) -> Envelope:
    """The message of a record, whose first line is the server's own.

    Raises:
        CodecError: It is not what `pack` made.
    """
    try:
        _, line, body = record.split(b"\n", 2)
        headers = json.loads(line) if line else {}
    except (ValueError, RecursionError) as error:
        raise CodecError(f"a record of a queue is damaged: {error}") from error
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise CodecError("a record of a queue is damaged: its headers are no texts by name")
    return Envelope(headers, body)
