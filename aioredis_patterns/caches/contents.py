"""Contents: a value as four characters that name its codec, and its bytes.

None is stored as itself, without a codec, so every cache can hold it, whatever the type of its values.
"""

from __future__ import annotations

import zlib
from enum import Enum
from typing import Any, Final, Generic, TypeVar, cast

from aioredis_patterns.codecs import Json, codec_for
from aioredis_patterns.errors import CodecError, LoadFailedError
from aioredis_patterns.events import PayloadUndecodable, emit
from aioredis_patterns.types import Codec, EventHook

from .entry import HEADER, content_of

__all__ = ("Contents", "DELETED", "Deleted", "MISSING", "failure", "is_failure")

T = TypeVar("T")

MISSING: Final = object()
"""What stands for a value where there is none, as None is one."""

_NONE: Final = b"0000"
_FAILURE: Final = b"ffff"
_LONGEST_FAILURE: Final = 500


class Deleted(Enum):
    """The type of `DELETED`.

    >>> DELETED
    DELETED
    """

    DELETED = "DELETED"

    def __repr__(self) -> str:
        return self.name


DELETED: Final = Deleted.DELETED
"""What a writer of the store gets in the place of a value that is to be deleted."""


class Contents(Generic[T]):
    """Turns the values of one cache into contents and back.

    Args:
        name: Of the cache, for events.
        type: What the values are; anything when None.
        codec: In place of the type.
        on_event: Told of contents that do not decode.
    """

    __slots__ = ("_codec", "_id", "_name", "_on_event")

    def __init__(self, name: str, type: Any, codec: Codec[Any] | None, on_event: EventHook | None) -> None:  # noqa: A002
        self._codec: Codec[T] = codec or (Json() if type is None else codec_for(type))
        self._id = b"%04x" % (zlib.crc32(self._codec.content_type.encode()) % 0xFFFE + 1)
        self._name = name
        self._on_event = on_event

    def encode(self, value: T | None) -> bytes:
        """The content of a value.

        Raises:
            CodecError: The codec cannot write it.
        """
        return _NONE if value is None else self._id + self._codec.encode(value)

    def decode(self, content: bytes) -> T:
        """The value of a content.

        Raises:
            CodecError: It is not of this codec, or damaged.
            LoadFailedError: It says that a load failed.
        """
        if content[:4] == self._id:
            return self._codec.decode(content[4:])
        if content == _NONE:
            return cast(T, None)
        if content[:4] == _FAILURE:
            raise LoadFailedError(self._name, content[4:].decode(errors="replace"))
        raise CodecError(f"a value of cache {self._name!r} was stored by another codec")

    def value_of(self, reply: Any) -> Any:
        """The value in what a read brought, fresh or not; `MISSING` when there is none, or none that decodes."""
        try:
            if type(reply) is bytes and reply[2:6] == self._id and reply[64:HEADER] == b"0000":
                return self._codec.decode(reply[HEADER:])  # no tags, our codec: one copy instead of three
            if type(reply) is int and reply == 0:
                return MISSING
            entry = reply if type(reply) is bytes else reply[0] if type(reply) is list else b""
            return self.decode(content_of(entry))
        except CodecError:
            if self._on_event is not None:
                emit(self._on_event, PayloadUndecodable(pattern="Cache", name=self._name))
            return MISSING

    def accepts(self, entry: bytes) -> bool:
        """Whether an entry's value decodes."""
        return self.value_of(entry) is not MISSING


def is_failure(head: bytes) -> bool:
    """Whether an entry that begins so says how a load failed."""
    return head[2:6] == _FAILURE


def failure(error: Exception) -> bytes:
    """The content that says how a load failed, in some words."""
    return _FAILURE + f"{type(error).__qualname__}: {error}"[:_LONGEST_FAILURE].encode(errors="replace")
