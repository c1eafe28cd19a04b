"""Entries: what a log holds, as it is stored and as it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, final

from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import Codec

__all__ = ("Entry", "pack_headers", "unpack_headers")

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One entry of a log.

    Example:
        >>> log = EventLog(redis, "orders")
        >>> await log.append({"total": 7}, key="customer:42") is not None
        True
        >>> [(entry.payload, entry.key) async for entry in log.read()]
        [({'total': 7}, 'customer:42')]
    """

    id: str  #: its place in the log: the ms of its time by the server's clock, and a number
    payload: T
    key: str | None  #: that it was appended with
    headers: dict[str, str]
    partition: int  #: the part of the log that it is in

    @property
    def at(self) -> datetime:
        """When it was appended, by the server's clock."""
        return datetime.fromtimestamp(int(self.id.partition("-")[0]) / 1000, UTC)

    @staticmethod
    def of(codec: Codec[Any], partition: int, parts: list[bytes]) -> Entry[Any]:
        """The entry of its id, key, headers and payload, as a script gives them.

        Raises:
            CodecError: The payload does not decode, or the headers are none.
        """
        id_, key, headers, payload = parts
        value = codec.decode(payload)
        return Entry(id_.decode(), value, key.decode(errors="replace") or None, unpack_headers(headers), partition)


def pack_headers(headers: Mapping[str, str] | None) -> bytes:
    """The bytes of headers; empty for none.

    Raises:
        TypeError: A header's name or value is not a str.
    """
    if not headers:
        return b""
    if not all(isinstance(part, str) for pair in headers.items() for part in pair):
        raise TypeError(f"headers must be str by str, not {dict(headers)!r:.80}")
    return json.dumps(dict(headers)).encode()


def unpack_headers(data: bytes) -> dict[str, str]:
    """The headers of such bytes.

    Raises:
        CodecError: They are not what `pack_headers` made.
    """
    try:
        headers = json.loads(data) if data else {}
    except (ValueError, RecursionError) as error:
        raise CodecError(f"the headers of an entry are damaged: {error}") from error
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise CodecError("the headers of an entry are damaged: they are no texts by name")
    return headers
