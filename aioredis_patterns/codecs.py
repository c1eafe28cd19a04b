"""Codecs: how values become the bytes that Redis stores, and how bytes from Redis become values again.

| You store | Use |
|---|---|
| values of one type: a dataclass, a msgspec or pydantic model, a TypedDict, `list[int]` | `codec_for(User)` |
| whatever comes: dicts, lists, numbers, bytes, dates, tuples, sets | `Json()` |
| bytes that are encoded already | `Raw()` |
| big values | `Compressed(codec)` around one of these |

Everything is JSON, readable in any Redis browser, and nothing is ever pickled: bytes that another wrote into Redis can
make a decode fail, and can do nothing else. Whatever is wrong with a value or with bytes is a `CodecError`.

JSON is read and written by msgspec where it is installed (extra `msgspec`) and by the standard library elsewhere, with
the same data in Redis. A codec of your own needs the three members of the `Codec` protocol.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, TypeVar, final, overload

from aioredis_patterns._core import json_pydantic
from aioredis_patterns._core.json_tags import tag, untag
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import Codec

try:
    from aioredis_patterns._core.json_msgspec import dumps, loads, typed
except ImportError:
    from aioredis_patterns._core.json_stdlib import dumps, loads, typed

__all__ = ("Compressed", "Json", "Raw", "codec_for")

T = TypeVar("T")

_RAW, _ZLIB = b"\0", b"\1"
_TAG = ord("$")  # looked for as a number, as bytes are tried as one first, and an error made, before they are searched


@final
class Raw:
    """Bytes as they are.

    Example:
        >>> Raw().decode(Raw().encode(b"as it is"))
        b'as it is'
    """

    __slots__ = ()
    content_type = "application/octet-stream"

    def encode(self, value: bytes) -> bytes:
        """The value itself; anything but bytes is a `CodecError`."""
        if isinstance(value, bytes):
            return value
        raise CodecError(f"Raw takes bytes, not {type(value).__qualname__}")

    def decode(self, data: bytes) -> bytes:
        """The data itself."""
        return data


class _JsonCodec(Generic[T]):
    """Two functions, with every failure of theirs turned into a CodecError."""

    __slots__ = ("_dumps", "_loads", "_what", "content_type")

    def __init__(
        self, what: str, content_type: str, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]
    ) -> None:
        self._what = what
        self.content_type = content_type
        self._dumps = dumps
        self._loads = loads

    def encode(self, value: T) -> bytes:
        """The value's JSON.

        Raises:
            CodecError: The value cannot be written so that it comes back as it is.
        """
        try:
            return self._dumps(value)
        except Exception as error:
            raise self._refused(value, error) from error

    def decode(self, data: bytes) -> T:
        """The value that the bytes hold.

        Raises:
            CodecError: The bytes are not JSON, or not JSON of this type.
        """
        try:
            value: T = self._loads(data)
        except Exception as error:
            raise self._unreadable(data, error) from error
        return value

    def _refused(self, value: T, error: Exception) -> CodecError:
        return CodecError(f"cannot encode {type(value).__qualname__} as {self._what}: {_said(error)}")

    def _unreadable(self, data: bytes, error: Exception) -> CodecError:
        return CodecError(f"cannot decode {len(data)} bytes as {self._what}: {_said(error)}")

    def __repr__(self) -> str:
        return f"<codec of {self._what}>"


@final
class Json(_JsonCodec[Any]):
    r"""Any value of the built-in types, without naming its type, as JSON with tags.

    What goes in comes out, equal and of the same type, or is refused with a `CodecError` when it is encoded:

    - None, bool, str, list and dict are plain JSON; ints of any size and floats, NaN and the infinities included;
    - bytes, tuple, set, frozenset, Decimal, UUID, datetime, date, time, timedelta, and dicts with keys of any of
      these types, are JSON objects of one member, such as `{"$bytes": "AAE="}`;
    - all else is refused, subclasses as well (an enum, a defaultdict, a named tuple): give such values a type.

    Equal values give equal bytes with or without msgspec; sets are sorted for it. Of a datetime the offset is kept in
    whole seconds; the name of its zone and `fold` are not. Values nested several hundred levels deep are refused; how
    deep the bytes of another may be nested to be read is the interpreter's to say.

    Cost: 8 us to encode and 2 us to decode a nested record of 1 kB, 15 and 4 us without msgspec. A typed codec is
    faster.

    Example:
        >>> codec = Json()
        >>> codec.encode({"id": 7, "photo": b"\x00\x01"})
        b'{"id":7,"photo":{"$bytes":"AAE="}}'
        >>> codec.decode(codec.encode({1: (None, float("inf"))}))
        {1: (None, inf)}
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("untyped JSON", "application/json;tagged", dumps, loads)

    def encode(self, value: Any) -> bytes:
        """The value's JSON.

        Raises:
            CodecError: The value cannot be written so that it comes back as it is.
        """
        try:
            return self._dumps(tag(value))
        except Exception as error:
            raise self._refused(value, error) from error

    def decode(self, data: bytes) -> Any:
        """The value that the bytes hold.

        Raises:
            CodecError: The bytes are not JSON, or hold a tag that nobody knows.
        """
        try:
            value = self._loads(data)
            return untag(value) if _TAG in data else value
        except Exception as error:
            raise self._unreadable(data, error) from error


@overload
def codec_for(type_: type[T]) -> Codec[T]: ...
@overload
def codec_for(type_: Any) -> Codec[Any]: ...
def codec_for(type_: Any) -> Codec[Any]:
    """The codec of one type, which decodes into it and checks what it decodes.

    Takes dataclasses, msgspec Structs, pydantic models, TypedDicts, NamedTuples, enums, the built-in types, datetime,
    date, time, timedelta, Decimal, UUID, and unions and generic containers of them. `bytes` gives `Raw`, `Any` gives
    `Json`. The codec of a type is made once and shared.

    Members that the type does not know are dropped, members that the data lacks take their default: a type may gain
    fields with a default while old data is about. Encoding does not check the value against the type, except that
    NaN and the infinities are refused, as JSON has no word for them. Fields of type `Any` bring back JSON's own types.
    Without msgspec, dict keys are strings and numbers only.

    Cost: 1.5 to 2.5 us each way for a record of 1 kB with msgspec, 15 us without; 4 to 6 us for a pydantic model.

    Args:
        type_: A class, or a form such as `list[User]` or `User | None`.

    Raises:
        TypeError: The type has no JSON form, or the members of a union cannot be told apart.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class User:
        ...     name: str
        ...     age: int = 0
        >>> codec = codec_for(User)
        >>> codec.encode(User("Ada", 36))
        b'{"name":"Ada","age":36}'
        >>> codec.decode(b'{"name":"Bob"}')
        User(name='Bob', age=0)
        >>> codec.decode(b'{"name":5}')
        Traceback (most recent call last):
        ...
        aioredis_patterns.errors.CodecError: cannot decode 10 bytes as User: Expected `str`, got `int` - at `$.name`
    """
    try:
        hash(type_)
    except TypeError:  # an Annotated that holds a list, say
        return _codec(type_)
    return _shared_codec(type_)


def _codec(type_: Any) -> Codec[Any]:
    if type_ is bytes:
        return Raw()
    if type_ is Any or type_ is object:
        return Json()
    make = json_pydantic.typed if json_pydantic.mentions_model(type_) else typed
    return _JsonCodec(_named(type_), "application/json", *make(type_))


_shared_codec = lru_cache(maxsize=512)(_codec)


@final
class Compressed(Generic[T]):
    """Another codec's bytes, deflated from a size upwards; the first byte tells whether they are.

    Compression costs about 20 us for 3 kB and halves ordinary JSON, so it is for big values. Values written before a
    codec was wrapped are not readable afterwards: start with a new name or clear them.

    Args:
        codec: Makes the bytes.
        min_size: Bytes below which nothing is compressed.
        level: 1 (fast) to 9 (small), as in zlib.
        max_size: Most bytes that a value may have uncompressed, so that a small stored value cannot fill the memory.

    Raises:
        ValueError: A size or a level outside its range.

    Example:
        >>> codec = Compressed(Json())
        >>> len(codec.encode("x" * 5000)) < 100
        True
        >>> codec.decode(codec.encode({"small": 1}))
        {'small': 1}
    """

    __slots__ = ("_codec", "_level", "_max_size", "_min_size", "content_type")

    def __init__(self, codec: Codec[T], min_size: int = 1024, level: int = 6, max_size: int = 64 * 2**20) -> None:
        if not 0 <= min_size <= max_size:
            raise ValueError(f"min_size must be between 0 and max_size ({max_size}), not {min_size!r}")
        if not 1 <= level <= 9:
            raise ValueError(f"level must be between 1 and 9, not {level!r}")
        self._codec = codec
        self._min_size = min_size
        self._level = level
        self._max_size = max_size
        self.content_type = f"{codec.content_type};deflate"

    def encode(self, value: T) -> bytes:
        """The header byte and the value's bytes, compressed where that makes them smaller.

        Raises:
            CodecError: The codec inside refuses the value, or it is larger than `max_size`.
        """
        plain = self._codec.encode(value)
        if len(plain) > self._max_size:
            raise CodecError(f"{len(plain)} bytes are more than the limit of {self._max_size}")
        if len(plain) >= self._min_size and len(small := zlib.compress(plain, self._level)) < len(plain):
            return _ZLIB + small
        return _RAW + plain

    def decode(self, data: bytes) -> T:
        """The value of bytes that `encode` made.

        Raises:
            CodecError: The bytes are damaged, too large once uncompressed, or not of the codec inside.
        """
        header, body = data[:1], data[1:]
        if header == _ZLIB:
            return self._codec.decode(_inflated(body, self._max_size))
        if header == _RAW:
            return self._codec.decode(body)
        raise CodecError(f"unknown compression header {header!r}")


def _inflated(data: bytes, max_size: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, max_size + 1)
    except zlib.error as error:
        raise CodecError(f"compressed bytes are damaged: {error}") from error
    if len(plain) > max_size:
        raise CodecError(f"compressed bytes hold more than the limit of {max_size} bytes")
    if not inflater.eof or inflater.unused_data:
        raise CodecError("compressed bytes are cut off or followed by others")
    return plain


def _named(type_: Any) -> str:
    return type_.__qualname__ if isinstance(type_, type) else str(type_)


def _said(error: Exception) -> str:
    """The first line of what went wrong, kept short: the bytes may be anything."""
    line = str(error).partition("\n")[0]
    return f"{line:.200}" if line else type(error).__name__
