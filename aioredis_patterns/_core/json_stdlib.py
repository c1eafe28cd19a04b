"""JSON by the standard library alone: plain values, and typed ones by a reader that is built from the type.

It follows msgspec in what it writes and in what it refuses, so services with and without msgspec share their data.
A reader is a table: for each type that `json` can give (str, int, list ...) the function that makes the value of it.
A union is the merge of its members' tables, and is refused where two members would be read from the same JSON type.
"""

from __future__ import annotations

import dataclasses
import json
import re
from base64 import b64decode, b64encode
from collections import abc
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from uuid import UUID

from aioredis_patterns._core.json_pydantic import dump_model, is_model, load_model

__all__ = ("Load", "Table", "dumps", "loads", "typed")

Load = Callable[[Any], Any]
Table = dict[type, Load]

_SEQUENCES = {list: list, abc.Sequence: list, abc.Collection: list, set: set, abc.Set: set, frozenset: frozenset}
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)

_duration = re.compile(r"(-?)P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,14}(?:\.\d{1,6})?)S)?)?")


def dumps(value: Any) -> bytes:
    """The JSON of a value made of JSON's own types."""
    return _encode_plain(value).encode()


def loads(data: bytes) -> Any:
    """The value of JSON's own types that the text holds."""
    return _decode(data.decode())


def typed(type_: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """The two functions that write and read one type.

    Raises:
        TypeError: The type has no known form, or the members of a union cannot be told apart.
    """
    table = _table(type_, {})
    return _dumps_typed, lambda data: _load(table, loads(data))


def _dumps_typed(value: Any) -> bytes:
    return _encode_typed(value).encode()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _plain(value: Any) -> Any:
    """What `json` does not know itself, in the form that msgspec gives it."""
    return _plain_form(value.__class__)(value)


@lru_cache(maxsize=512)
def _plain_form(kind: type) -> Callable[[Any], Any]:
    for known, form in _PLAIN_FORMS:
        if issubclass(kind, known):
            return form
    if not dataclasses.is_dataclass(kind) or is_model(kind):
        return dump_model
    names = [field.name for field in dataclasses.fields(kind)]
    return lambda value: {name: getattr(value, name) for name in names}


_encode_plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_typed = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _iso_duration(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    return f"{sign}P{value.days}DT{value.seconds}.{value.microseconds:06}S"


_PLAIN_FORMS: list[tuple[type | tuple[type, ...], Callable[[Any], Any]]] = [
    (Enum, lambda value: value.value),
    (bytes, lambda value: b64encode(value).decode()),
    ((datetime, date, time), lambda value: value.isoformat()),
    ((Decimal, UUID), str),
    (timedelta, _iso_duration),
    ((set, frozenset), list),
]


def _read_duration(text: str) -> timedelta:
    match = _duration.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r:.40}")
    sign, days, hours, minutes, seconds = match.groups()
    whole, _, fraction = (seconds or "0").partition(".")
    found = timedelta(days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0), seconds=int(whole))
    found += timedelta(microseconds=int(fraction.ljust(6, "0") or 0))
    return -found if sign else found


def _same(value: Any) -> Any:
    return value


_ANYTHING: Table = dict.fromkeys((str, int, float, bool, NoneType, list, dict), _same)

_SCALARS: dict[Any, Table] = {
    Any: _ANYTHING,
    object: _ANYTHING,
    None: {NoneType: _same},
    NoneType: {NoneType: _same},
    str: {str: _same},
    bool: {bool: _same},
    int: {int: _same},
    float: {float: _same, int: float},
    bytes: {str: partial(b64decode, validate=True)},
    datetime: {str: datetime.fromisoformat},
    date: {str: date.fromisoformat},
    time: {str: time.fromisoformat},
    timedelta: {str: _read_duration},
    Decimal: {str: Decimal, int: Decimal},
    UUID: {str: UUID},
}


def _load(table: Table, value: Any) -> Any:
    load = table.get(type(value))
    if load is None:
        allowed = " or ".join(kind.__name__ for kind in table)
        raise ValueError(f"expected {allowed}, got {type(value).__name__}")
    return load(value)


def _table(type_: Any, known: dict[Any, Table]) -> Table:
    """The table of a type; `known` holds the records under construction, which may mention themselves."""
    type_ = _bare(type_)
    if type_ in _SCALARS:
        return _SCALARS[type_]
    if type_ in known:
        return known[type_]
    origin, args = get_origin(type_) or type_, get_args(type_)
    if origin in (Union, UnionType):
        return _union(type_, args, known)
    if origin is Literal:
        return {kind: partial(_load_literal, args) for kind in set(map(type, args))}
    if origin in _SEQUENCES:
        item = _table(args[0] if args else Any, known)
        return {list: partial(_load_sequence, _SEQUENCES[origin], item)}
    if origin in _MAPPINGS:
        name, item = (_table(arg, known) for arg in args or (Any, Any))
        return {dict: partial(_load_mapping, name, item)}
    if origin is tuple:
        return {list: _tuple_loader(args, known)}
    return _class_table(type_, origin, args, known)


def _bare(type_: Any) -> Any:
    """The type without what says nothing about its JSON: NewType, Annotated, aliases, type variables."""
    while True:
        if isinstance(type_, NewType):
            type_ = type_.__supertype__
        elif get_origin(type_) is Annotated:
            type_ = get_args(type_)[0]
        elif isinstance(type_, TypeVar):
            type_ = type_.__bound__ or Any
        elif hasattr(type_, "__value__"):
            type_ = type_.__value__
        else:
            return type_


def _union(type_: Any, members: tuple[Any, ...], known: dict[Any, Table]) -> Table:
    bare = [_bare(member) for member in members]
    if Any in bare:
        return _ANYTHING
    found: Table = {}
    for member in sorted(bare, key=lambda one: one is float):
        table = _table(member, known)
        if member is not float and not found.keys().isdisjoint(table):
            raise TypeError(f"the members of {type_} cannot be told apart in JSON")
        found = table | found
    return found


def _class_table(type_: Any, origin: Any, args: tuple[Any, ...], known: dict[Any, Table]) -> Table:
    if not isinstance(origin, type):
        raise TypeError(f"no JSON form is known for {type_!r}")
    if issubclass(origin, Enum) and all(isinstance(one.value, (str, int)) for one in origin):
        return {kind: origin for kind in (str, int) if any(isinstance(one.value, kind) for one in origin)}
    if is_model(origin):
        return dict.fromkeys(_ANYTHING, partial(load_model, type_))
    if issubclass(origin, tuple) and hasattr(origin, "_fields"):
        return {list: _named_tuple_loader(origin, known)}
    if is_typeddict(origin) or dataclasses.is_dataclass(origin):
        record = _Record(origin)
        known[type_] = {dict: record.load}
        record.fields = {name: _table(hint, known) for name, hint in _fields(origin, args)}
        return known[type_]
    raise TypeError(f"no JSON form is known for {type_!r}")


class _Record:
    """Reads an object into a dataclass or a TypedDict; members that it does not know are dropped."""

    __slots__ = ("fields", "make", "required")

    def __init__(self, make: Any) -> None:
        self.make = make
        self.fields: dict[str, Table] = {}
        self.required = _required(make) if is_typeddict(make) else frozenset[str]()

    def load(self, value: dict[str, Any]) -> Any:
        if not self.required <= value.keys():
            raise ValueError(f"missing {', '.join(sorted(self.required - value.keys()))}")
        return self.make(**{name: _load(self.fields[name], value[name]) for name in value if name in self.fields})


def _required(typed_dict: Any) -> frozenset[str]:
    # `__required_keys__` alone is wrong where annotations are strings: it overlooks the words around the type.
    hints = get_type_hints(typed_dict, include_extras=True)
    said = {name: get_origin(hint) for name, hint in hints.items()}
    return frozenset(
        name
        for name in hints
        if said[name] is Required or (name in typed_dict.__required_keys__ and said[name] is not NotRequired)
    )


def _fields(origin: Any, args: tuple[Any, ...]) -> Iterable[tuple[str, Any]]:
    hints = get_type_hints(origin)
    if args:
        given = dict(zip(origin.__parameters__, args, strict=True))
        hints = {name: _substituted(hint, given) for name, hint in hints.items()}
    if is_typeddict(origin):
        return hints.items()
    return [(field.name, hints[field.name]) for field in dataclasses.fields(origin) if field.init]


def _substituted(hint: Any, given: dict[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return given[hint]
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(given[one] for one in parameters)] if parameters else hint


def _named_tuple_loader(make: Any, known: dict[Any, Table]) -> Load:
    hints = get_type_hints(make)
    tables = [_table(hints.get(name, Any), known) for name in make._fields]
    return lambda items: make(*_load_each(tables[: len(items)], items))  # what is missing takes its default


def _tuple_loader(args: tuple[Any, ...], known: dict[Any, Table]) -> Load:
    if not args or args[-1] is Ellipsis:
        return partial(_load_sequence, tuple, _table(args[0] if args else Any, known))
    tables = [_table(arg, known) for arg in args]
    return lambda items: tuple(_load_each(tables, items))


def _load_each(tables: list[Table], items: list[Any]) -> list[Any]:
    return [_load(table, item) for table, item in zip(tables, items, strict=True)]


def _load_literal(allowed: tuple[Any, ...], value: Any) -> Any:
    if any(value == one and type(value) is type(one) for one in allowed):
        return value
    raise ValueError(f"expected one of {allowed!r}")


def _load_sequence(make: Callable[[Iterable[Any]], Any], item: Table, items: list[Any]) -> Any:
    return make(_load(item, one) for one in items)


def _load_mapping(name: Table, item: Table, members: dict[str, Any]) -> dict[Any, Any]:
    return {_load_name(name, one): _load(item, member) for one, member in members.items()}


def _load_name(table: Table, name: str) -> Any:
    """A dict's key: JSON has only strings there, so a number is read from its digits."""
    return table[str](name) if str in table else _load(table, _decode(name))
