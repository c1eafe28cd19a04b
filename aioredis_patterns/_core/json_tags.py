"""Tagged JSON: how values that JSON has no word for are written down in it, and read back as what they were.

An object of one member whose name begins with `$` is a tag: `{"$bytes": "AAE="}`, `{"$datetime": "2026-01-02T03:04"}`.
A dict that would look like a tag, or has keys that are not strings, is written as `{"$map": [[key, value], ...]}`.
Numbers that JSON libraries print differently or cut off are tagged as well: ints beyond 64 bits in hexadecimal,
floats that need an exponent, NaN and the infinities. So the text is the same whichever library prints it.

A type that is not listed here is refused, subclasses too: a value comes back as what it was, or is not stored.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from json import dumps
from typing import Any
from uuid import UUID

__all__ = ("tag", "untag")

_PLAIN = frozenset({str, bool, type(None)})
_ONLY_STR = frozenset({str})


def tag(value: Any) -> Any:
    """The value in JSON's own types.

    Raises:
        TypeError: A type that has no tag.
        RecursionError: Nested too deeply, or a container that holds itself.
    """
    return value if type(value) in _PLAIN else _WRITE.get(type(value), _refuse)(value)


def untag(value: Any) -> Any:
    """The value that was tagged.

    Raises:
        ValueError: A tag that is unknown or does not hold what it says; other exceptions of the types are possible.
    """
    if type(value) is dict:
        if len(value) == 1:
            ((name, content),) = value.items()
            if name[:1] == "$":
                return _read(name)(content)
        return {name: untag(content) for name, content in value.items()}
    if type(value) is list:
        return [untag(item) for item in value]
    return value


def _read(name: str) -> Callable[[Any], Any]:
    read = _READ.get(name)
    if read is None:
        raise ValueError(f"unknown tag {name!r:.40}")
    return read


def _refuse(value: Any) -> Any:
    raise TypeError(f"it has no form for {type(value).__qualname__}; give the codec a type")


def _tag_int(value: int) -> Any:
    return value if -(2**63) <= value < 2**64 else {"$int": f"{value:x}"}


def _tag_float(value: float) -> Any:
    return value if 0.0001 <= abs(value) < 1e16 or value == 0 else {"$float": repr(value)}


def _tag_list(value: list[Any]) -> list[Any]:
    # `tag`, written out: a call less per item.
    return [item if type(item) in _PLAIN else _WRITE.get(type(item), _refuse)(item) for item in value]


def _tag_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if not _ONLY_STR.issuperset(map(type, value)) or (len(value) == 1 and next(iter(value))[:1] == "$"):
        return {"$map": [[tag(name), tag(item)] for name, item in value.items()]}
    return {
        name: item if type(item) in _PLAIN else _WRITE.get(type(item), _refuse)(item) for name, item in value.items()
    }


def _tag_members(value: set[Any] | frozenset[Any]) -> list[Any]:
    # Sorted, so that equal sets give equal bytes in every process.
    return sorted(map(tag, value), key=dumps)


def _untag_list(items: Any) -> list[Any]:
    if type(items) is not list:
        raise ValueError(f"a tag holds {type(items).__name__} where it should hold a list")
    return [untag(item) for item in items]


def _untag_map(pairs: Any) -> dict[Any, Any]:
    return dict(map(_untag_list, pairs))


def _untag_duration(parts: list[int]) -> timedelta:
    days, seconds, microseconds = parts
    return timedelta(days, seconds, microseconds)


_WRITE: dict[type, Callable[[Any], Any]] = {
    int: _tag_int,
    float: _tag_float,
    list: _tag_list,
    dict: _tag_dict,
    tuple: lambda value: {"$tuple": _tag_list(value)},
    set: lambda value: {"$set": _tag_members(value)},
    frozenset: lambda value: {"$frozenset": _tag_members(value)},
    bytes: lambda value: {"$bytes": b64encode(value).decode()},
    datetime: lambda value: {"$datetime": value.isoformat()},
    date: lambda value: {"$date": value.isoformat()},
    time: lambda value: {"$time": value.isoformat()},
    timedelta: lambda value: {"$timedelta": [value.days, value.seconds, value.microseconds]},
    Decimal: lambda value: {"$decimal": str(value)},
    UUID: lambda value: {"$uuid": str(value)},
}

_READ: dict[str, Callable[[Any], Any]] = {
    "$map": _untag_map,
    "$tuple": lambda items: tuple(_untag_list(items)),
    "$set": lambda items: set(_untag_list(items)),
    "$frozenset": lambda items: frozenset(_untag_list(items)),
    "$int": lambda digits: int(digits, 16),
    "$float": float,
    "$bytes": lambda text: b64decode(text, validate=True),
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": _untag_duration,
    "$decimal": Decimal,
    "$uuid": UUID,
}
