"""What a codec encodes comes back as it was, what it cannot keep it refuses, and bytes can do no harm."""

from __future__ import annotations

import enum
import json
import math
import random
import re
import subprocess
import sys
import tracemalloc
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from aioredis_patterns import codecs
from aioredis_patterns._core import json_msgspec, json_pydantic, json_stdlib
from aioredis_patterns.codecs import Compressed, Json, Raw, codec_for
from aioredis_patterns.errors import CodecError, PatternError

T = TypeVar("T")
UserId = NewType("UserId", int)
Ids = TypeAliasType("Ids", list[UserId])
ENGINES = {"msgspec": json_msgspec, "stdlib": json_stdlib}


class Plan(enum.Enum):
    FREE = "free"
    PAID = "paid"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Address:
    city: str
    zip_code: str = ""


@dataclass(frozen=True, slots=True)
class User:
    name: str
    age: int
    plan: Plan = Plan.FREE
    address: Address | None = None
    tags: list[str] = field(default_factory=list)
    photo: bytes = b""
    seen: datetime | None = None


@dataclass
class Node:
    value: int
    children: list[Node] = field(default_factory=list)
    parent: Node | None = None


@dataclass
class Page(Generic[T]):
    items: list[T]
    first: T | None = None


@dataclass
class Box(Generic[T]):
    content: T


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: float


class Place(NamedTuple):
    name: str
    height: int = 0


class Struct(msgspec.Struct):
    name: str
    age: int = 0


class Model(pydantic.BaseModel):
    name: str
    age: int = 0
    price: Decimal = Decimal("1.10")


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", serialize_by_alias=True)
    name: str = pydantic.Field(alias="fullName")
    age: int = pydantic.Field(0, validation_alias=pydantic.AliasChoices("years", "age_in_years"))
    town: str = pydantic.Field("", validation_alias=pydantic.AliasPath("home", 0), serialization_alias="city")
    within: list[Aliased] = pydantic.Field(default=[], alias="theirs")


ALIASED = Aliased(fullName="Ada", years=36, home=["London"], theirs=[Aliased(fullName="Bob")])


@pydantic.dataclasses.dataclass
class CheckedPoint:
    x: int


@dataclass
class Holder:
    """A dataclass with a pydantic model inside."""

    model: Model
    models: list[Model] = field(default_factory=list)


@dataclass
class AliasedHolder:
    """A dataclass with a model inside whose fields have other names elsewhere."""

    model: Aliased


class Unknown:
    """A class that no codec knows."""


def untyped(engine: str) -> codecs._JsonCodec[Any]:
    """The untyped codec, built on one JSON library."""
    codec = codecs.Json()
    codec._dumps, codec._loads = ENGINES[engine].dumps, ENGINES[engine].loads
    return codec


def typed(engine: str, type_: Any) -> codecs._JsonCodec[Any]:
    """The codec of a type, built on one JSON library."""
    return codecs._JsonCodec("typed JSON", "application/json", *ENGINES[engine].typed(type_))


def same(one: Any, two: Any) -> bool:
    """Equal in value and type all the way down, with NaN equal to itself and zero not to its negative."""
    return type(one) is type(two) and repr(_ordered(one)) == repr(_ordered(two))


def _ordered(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return (type(value), sorted(map(repr, map(_ordered, value))))
    if isinstance(value, (list, tuple)):
        return (type(value), [_ordered(item) for item in value])
    if isinstance(value, dict):
        return [(_ordered(name), _ordered(item)) for name, item in value.items()]
    return value


def shortly(value: object) -> str:
    """A name for a case, the same in every process."""
    if isinstance(value, set | frozenset):
        return type(value).__name__  # whose order is each process's own
    return re.sub(r" at 0x\w+", "", repr(value))[:40]


any_engine = pytest.mark.parametrize("engine", ENGINES)

offsets = st.integers(-80_000, 80_000).map(lambda seconds: timezone(timedelta(seconds=seconds)))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text("$bytesinfloat", max_size=8),
    st.binary(),
    st.datetimes(timezones=st.none() | offsets).map(lambda value: value.replace(fold=0)),
    st.dates(),
    st.times().map(lambda value: value.replace(fold=0)),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
)
# NaN among the members would make equality of sets and dicts meaningless.
members = scalars.filter(lambda value: "nan" not in repr(value).lower())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=5) | st.just("$bytes"), inner, max_size=3),
        st.dictionaries(members | st.tuples(members), inner, max_size=3),
        st.sets(members, max_size=3),
        st.frozensets(members, max_size=3),
    ),
    max_leaves=8,
)


# Untyped JSON


@any_engine
@given(value=values)
@settings(max_examples=300, deadline=None)
def test_untyped_values_come_back_as_they_were(engine: str, value: Any) -> None:
    """Whatever is made of the listed types decodes to the same value of the same types."""
    codec = untyped(engine)
    assert same(codec.decode(codec.encode(value)), value)


@given(value=values)
@settings(max_examples=300, deadline=None)
def test_untyped_bytes_do_not_depend_on_msgspec(value: Any) -> None:
    """Services with and without msgspec write the same bytes and read one another's."""
    fast, plain = untyped("msgspec"), untyped("stdlib")
    data = fast.encode(value)
    assert plain.encode(value) == data
    assert same(plain.decode(data), fast.decode(data))


PLAIN: list[Any] = [None, False, True, "", "5", "-5", "null", "NaN", [], {}, {"a": {"b": [1]}}]
NUMBERS: list[Any] = [0, -1, -5, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, 0.0, -0.0, 1e16, 1e-5, 5e-324]
NOT_FINITE: list[Any] = [math.nan, math.inf, -math.inf, [math.nan, None], Decimal("NaN")]
NOT_JSON: list[Any] = [b"", b"\xff\x00", (), ((1,), "a"), set(), frozenset({frozenset({1}), "a"}), UUID(int=5)]
AMOUNTS: list[Any] = [Decimal("1.10"), Decimal("1E+500"), timedelta.min, datetime.max, time.max, date(1, 1, 1)]
KEYS: list[Any] = [{1: "int", "1": "str"}, {None: 1}, {(1, "a"): {2}}, {b"x": {1.5: 2}}]
LIKE_TAGS: list[Any] = [{"$bytes": "AAE="}, {"$map": []}, {"$": 1}, {"$a": 1, "b": 2}, "$bytes", ["$", {"$int": "ff"}]]


@pytest.mark.parametrize(
    "value",
    [*PLAIN, *NUMBERS, *NOT_FINITE, *NOT_JSON, *AMOUNTS, *KEYS, *LIKE_TAGS],
    ids=shortly,
)
@any_engine
def test_the_awkward_values_come_back(engine: str, value: Any) -> None:
    """None, falsy values, negative and big ints, NaN, bytes, numeric strings and values that look like tags survive."""
    codec = untyped(engine)
    assert same(codec.decode(codec.encode(value)), value)


@any_engine
def test_ints_of_any_length_come_back(engine: str) -> None:
    """An int with more digits than Python is willing to print or to parse survives."""
    codec = untyped(engine)
    assert codec.decode(codec.encode([10**5000, -(10**5000)])) == [10**5000, -(10**5000)]


def test_untyped_json_has_its_published_form() -> None:
    """The stored form is part of the contract: old data stays readable."""
    values = [b"\0\1", (1,), {2, 1}, 2**64, math.inf, 1e16, {1: 2}, {"$x": 1}, timedelta(1, 2, 3), date(2026, 1, 2)]
    assert json.loads(Json().encode([*values, Decimal("1.10"), {"plain": [1, 1.5, None, True, "ä"]}])) == [
        {"$bytes": "AAE="},
        {"$tuple": [1]},
        {"$set": [1, 2]},
        {"$int": "10000000000000000"},
        {"$float": "inf"},
        {"$float": "1e+16"},
        {"$map": [[1, 2]]},
        {"$map": [["$x", 1]]},
        {"$timedelta": [1, 2, 3]},
        {"$date": "2026-01-02"},
        {"$decimal": "1.10"},
        {"plain": [1, 1.5, None, True, "ä"]},
    ]
    assert Json().encode({"a": "ä"}) == '{"a":"ä"}'.encode()


SUBCLASSES: list[Any] = [Plan.FREE, Level.LOW, defaultdict(int), OrderedDict(), Point(1, 2.0), {Plan.FREE: 1}]
STRANGERS: list[Any] = [Unknown(), Unknown, object(), 1 + 2j, bytearray(b"x"), [Unknown()], {"a": Unknown()}]
BROKEN_TEXT: list[Any] = ["\ud800", {"\udfff": 1}]


@pytest.mark.parametrize("value", [*SUBCLASSES, *STRANGERS, *BROKEN_TEXT], ids=shortly)
@any_engine
def test_what_would_not_come_back_is_refused(engine: str, value: Any) -> None:
    """Enums, subclasses, other classes and broken text are a CodecError when they are encoded, wherever they stand."""
    with pytest.raises(CodecError, match=r"^cannot encode \w+ as untyped JSON: "):
        untyped(engine).encode(value)


@any_engine
def test_a_refused_type_is_named(engine: str) -> None:
    """The error names the type that has no form, deep inside as well, and what to do."""
    with pytest.raises(CodecError, match=r"encode list as untyped JSON: it has no form for Address; give the codec a"):
        untyped(engine).encode([{"home": Address("Ulm")}])


@any_engine
def test_endless_nesting_is_refused(engine: str) -> None:
    """A list that holds itself and one nested too deeply are a CodecError, not a crash."""
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (endless, deep):
        with pytest.raises(CodecError):
            untyped(engine).encode(value)
    while isinstance(deep, list):  # taken apart from outside: freeing it at once would nest as deeply
        deep = deep.pop()


NO_JSON = [
    b"",
    b" ",
    b"{",
    b"nul",
    b"NaN",
    b"[Infinity]",
    b"\xff",
    b"\xff\xfe[",
    b'"\xff"',
    b"[1,]",
    b"1 2",
    b"\x80\x04.",
]
NO_BYTES = [b'{"$unknown":1}', b'{"$bytes":"a"}', b'{"$bytes":"\xc3\xa4"}', b'{"$bytes":5}']
NO_NUMBER = [
    b'{"$int":"z"}',
    b'{"$int":5}',
    b'{"$float":"x"}',
    b'{"$float":null}',
    b'{"$decimal":"x"}',
    b'{"$decimal":[]}',
]
NO_CONTAINER = [b'{"$set":[[]]}', b'{"$set":5}', b'{"$tuple":"ab"}', b'{"$map":[[1]]}', b'{"$map":{"ab":1}}']
NO_KEY = [b'{"$map":[[[],1]]}', b'{"$uuid":"x"}', b'{"$uuid":1}']
NO_DATE = [b'{"$datetime":"x"}', b'{"$date":5}', b'{"$time":null}', b'{"$timedelta":[1]}', b'{"$timedelta":[1e99,0,0]}']
BOMBS = [b"[" * 100_000, b'{"a":' * 100_000, b'{"$tuple":[' * 50_000, b"[" * 50_000 + b"]" * 50_000, b"1" * 5000]


@pytest.mark.parametrize(
    "data",
    [*NO_JSON, *NO_BYTES, *NO_NUMBER, *NO_CONTAINER, *NO_KEY, *NO_DATE, *BOMBS],
    ids=shortly,
)
@any_engine
def test_damaged_json_is_a_codec_error(engine: str, data: bytes) -> None:
    """Bytes that are not JSON, or a tag that does not hold what it says, are a CodecError and nothing else."""
    with pytest.raises(CodecError, match=rf"^cannot decode {len(data)} bytes as untyped JSON: "):
        untyped(engine).decode(data)


# Typed codecs

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (int, -5),
    (float, 1e300),
    (bool, False),
    (str, "5"),
    (type(None), None),
    (None, None),
    (Decimal, Decimal("1.10")),
    (UUID, UUID(int=7)),
    (datetime, datetime(2026, 1, 2, 3, 4, 5, 678, UTC)),
    (datetime, datetime(2026, 1, 2, 3, 4, 5)),
    (date, date(2026, 1, 2)),
    (time, time(3, 4, 5, 6)),
    (timedelta, timedelta(days=400, seconds=5, microseconds=7)),
    (timedelta, -timedelta(days=1, microseconds=1)),
    (Plan, Plan.PAID),
    (Level, Level.HIGH),
    (Literal["a", 1], 1),
    (UserId, 5),
    (Annotated[int, "documented"], 5),
    (int | None, 7),
    (int | float, 7),
    (int | float, 7.5),
    (str | list[int] | None, [1]),
    (float | dict[str, int], {"a": 1}),
    (Any | None, [1, None]),
    (list, [1, "a"]),
    (dict, {"a": [1]}),
    (tuple, (1, "a")),
    (list[int], [1, 2]),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[int, str], (1, "a")),
    (Sequence[int], [1]),
    (Mapping[str, int], {"a": 1}),
    (dict[str, bytes], {"a": b"\xff"}),
    (dict[int, float], {1: 1.5, -2: 2.0}),
    (list[User | None], [None, User("Ada", 36)]),
    (User, User("Ada", 36, Plan.PAID, Address("Ulm"), ["a"], b"\xff\0", datetime(2026, 1, 2, tzinfo=UTC))),
    (Node, Node(1, [Node(2, parent=Node(4)), Node(3)])),
    (Page[int], Page([1, 2], 3)),
    (Page[Address], Page([Address("Ulm")])),
    (Page, Page([1, "any"], None)),
    (Box[Address], Box(Address("Ulm"))),
    (Box[int | None], Box(None)),
    (Movie, {"title": "M", "year": 1931}),
    (Movie, {"title": "M"}),
    (Point, Point(1, 2.0)),
    (Holder, Holder(Model(name="a"), [Model(name="b", age=5)])),
]
any_type = pytest.mark.parametrize(("type_", "value"), ROUND_TRIPS, ids=shortly)


@any_engine
@any_type
def test_typed_values_come_back_as_they_were(engine: str, type_: Any, value: Any) -> None:
    """A value of the codec's type decodes to an equal value of the same class."""
    codec = typed(engine, type_)
    assert same(codec.decode(codec.encode(value)), value)


@any_type
def test_typed_data_is_shared_with_services_without_msgspec(type_: Any, value: Any) -> None:
    """What one JSON library wrote of a type, the other reads."""
    fast, plain = typed("msgspec", type_), typed("stdlib", type_)
    assert same(plain.decode(fast.encode(value)), value)
    assert same(fast.decode(plain.encode(value)), value)


def test_a_type_alias_is_what_it_stands_for() -> None:
    """A named alias, as Python 3.12's `type` statement makes it, reads as its type."""
    codec = typed("stdlib", Ids)
    assert codec.decode(b"[1,2]") == [1, 2]


@given(value=st.timedeltas())
@settings(deadline=None)
def test_durations_are_exact(value: timedelta) -> None:
    """A timedelta survives to the microsecond, whichever library writes and reads it."""
    fast, plain = typed("msgspec", timedelta), typed("stdlib", timedelta)
    assert plain.decode(plain.encode(value)) == value
    if abs(value.days) < 100_000_000:  # msgspec reads no longer ones
        assert plain.decode(fast.encode(value)) == fast.decode(plain.encode(value)) == value


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Struct, Struct("Ada", 36)),
        (list[Struct], [Struct("Ada")]),
        (Model, Model(name="Ada", age=36)),
        (Model | None, None),
        (dict[str, list[Model]], {"a": [Model(name="Ada")]}),
        (CheckedPoint, CheckedPoint(5)),
        (Aliased, ALIASED),
        (dict[str, list[Aliased]], {"a": [ALIASED]}),
        (User, User("Ada", 36)),
        (bytes, b"\xff"),
        (Any, {1: b"\xff"}),
        (Annotated[int, ["unhashable"]], 5),
    ],
    ids=shortly,
)
def test_codec_for_finds_the_codec(type_: Any, value: Any) -> None:
    """`codec_for` serves msgspec's, pydantic's and the standard library's kinds of classes alike."""
    codec = codec_for(type_)
    assert same(codec.decode(codec.encode(value)), value)


def test_bytes_are_stored_raw_and_any_is_tagged() -> None:
    """`bytes` is not wrapped in JSON, and `Any` is what `Json` does."""
    assert codec_for(bytes).encode(b"\xff") == b"\xff"
    for anything in (Any, object):
        assert isinstance(codec_for(anything), Json)


@any_engine
def test_a_model_in_a_dataclass_is_read_by_its_own_names(engine: str) -> None:
    """Whatever a model's fields are called elsewhere, it comes back from the inside of another value."""
    codec = typed(engine, AliasedHolder)
    assert codec.decode(codec.encode(AliasedHolder(ALIASED))) == AliasedHolder(ALIASED)


@pytest.mark.parametrize("type_", [Model, Holder])
def test_a_stranger_is_no_model(type_: Any) -> None:
    """A class that is not pydantic's is refused where a model stands beside it."""
    with pytest.raises(TypeError):
        json_pydantic.load_model(Unknown, {})
    assert json_pydantic.mentions_model(list[type_]) is (type_ is Model)


def test_the_codec_of_a_type_is_made_once() -> None:
    """Asking again for the same type costs a look-up."""
    assert codec_for(User) is codec_for(User)
    assert codec_for(list[User]) is codec_for(list[User])
    assert len(set(map(codec_for, [list[User], list[Address], list[User]]))) == 2


def test_neither_msgspec_nor_pydantic_is_needed() -> None:
    """Without either package codecs work all the same, on the standard library."""
    program = """
import sys
sys.modules["msgspec"] = sys.modules["pydantic"] = None
from aioredis_patterns.codecs import Json, codec_for
assert codec_for(list[int | None]).decode(b"[1,null]") == [1, None]
print(Json().decode(Json().encode((1, b"x"))))
"""
    root = Path(codecs.__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout == "(1, b'x')\n"


WRONG: list[tuple[Any, bytes]] = [
    (int, b'"5"'),
    (int, b"true"),
    (int, b"null"),
    (float, b'"1"'),
    (bool, b"1"),
    (str, b"5"),
    (bytes | None, b'"!"'),
    (Decimal, b'"x"'),
    (UUID, b'"x"'),
    (datetime, b'"yesterday"'),
    (timedelta, b'"5 minutes"'),
    (timedelta, b'"P99999999999D"'),
    (Plan, b'"gold"'),
    (Level, b'"1"'),
    (Literal["a"], b'"b"'),
    (int | None, b'"x"'),
    (list[int], b'[1,"x"]'),
    (list[int], b"{}"),
    (tuple[int, str], b"[1]"),
    (tuple[int, str], b'[1,"a",2]'),
    (dict[str, int], b'{"a":"b"}'),
    (dict[int, int], b'{"a":1}'),
    (set[int], b"[[]]"),
    (User, b"{}"),
    (User, b"[]"),
    (User, b'{"name":"Ada"}'),
    (User, b'{"name":"Ada","age":"36"}'),
    (User, b'{"name":"Ada","age":36,"plan":"gold"}'),
    (User, b'{"name":"Ada","age":36,"photo":"\xff"}'),
    (Movie, b"{}"),
    (Movie, b'{"title":1}'),
    (Point, b"[1]"),
    (Place, b"[]"),
    (Place, b'["Ulm",478,1]'),
    (Page[int], b'{"items":["x"]}'),
    (Holder, b'{"model":{"age":"x"}}'),
    (Node, b'{"value":1,"children":[' * 20_000),
    (Any | None, b"[" * 100_000),
    (float, b"NaN"),
]


@any_engine
@pytest.mark.parametrize(("type_", "data"), WRONG, ids=shortly)
def test_data_of_another_type_is_a_codec_error(engine: str, type_: Any, data: bytes) -> None:
    """Data that is not of the type, as after a change of schema, is a CodecError with or without msgspec."""
    with pytest.raises(CodecError, match=rf"^cannot decode {len(data)} bytes as typed JSON: "):
        typed(engine, type_).decode(data)


@any_engine
def test_schemas_may_grow(engine: str) -> None:
    """Members that are new take their default and members that are gone are dropped, so deploys may overlap."""
    codec = typed(engine, Address)
    assert codec.decode(b'{"city":"Ulm","gone":[1]}') == Address("Ulm", "")
    assert typed(engine, Movie).decode(b'{"title":"M","gone":1}') == {"title": "M"}
    assert typed(engine, Place).decode(b'["Ulm"]') == Place("Ulm")


@any_engine
@pytest.mark.parametrize("value", [math.nan, math.inf, [1, -math.inf], {"a": [math.nan]}, Page([math.nan], None)])
def test_typed_json_refuses_what_it_would_lose(engine: str, value: Any) -> None:
    """NaN and the infinities are refused by a typed codec, and None beside them is not."""
    codec = typed(engine, Any | None)
    with pytest.raises(CodecError, match="Out of range float"):
        codec.encode(value)
    assert codec.decode(codec.encode([None, {"a": None}])) == [None, {"a": None}]


def test_pydantic_models_refuse_what_they_would_lose() -> None:
    """NaN in a pydantic model is refused when it is encoded, instead of never being readable."""
    codec = codec_for(list[Model | float | None])
    assert codec.decode(codec.encode([None, Model(name="a")])) == [None, Model(name="a")]
    with pytest.raises(CodecError):
        codec.encode([math.nan])


@any_engine
def test_values_without_a_form_are_a_codec_error(engine: str) -> None:
    """An object that no library knows is a CodecError when it is encoded."""
    with pytest.raises(CodecError, match=r"encode list as typed JSON: no JSON form is known for Unknown"):
        typed(engine, list[Any]).encode([Unknown()])


@any_engine
@pytest.mark.parametrize("type_", [Unknown, "User", str | bytes, str | datetime, list[int] | set[int], User | Address])
def test_types_that_cannot_work_are_refused_at_once(engine: str, type_: Any) -> None:
    """A type without a form, or a union whose members look alike in JSON, is a TypeError before any data is stored."""
    with pytest.raises(TypeError):
        typed(engine, type_)


@pytest.mark.parametrize("type_", [Unknown, str | datetime])
def test_codec_for_refuses_at_once(type_: Any) -> None:
    """`codec_for` itself refuses, so that a pattern's constructor does."""
    with pytest.raises(TypeError):
        codec_for(type_)


def test_errors_name_the_type_and_not_the_data() -> None:
    """A CodecError says which type failed and where, in one short line, and keeps the cause."""
    with pytest.raises(CodecError, match=r"^cannot decode 11 bytes as Model: [^\n]{1,200}$") as caught:
        codec_for(Model).decode(b'{"name":55}')
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)
    assert isinstance(caught.value, PatternError)
    assert repr(codec_for(list[User])).startswith("<codec of list[")


# Raw and Compressed


@given(st.binary())
@settings(deadline=None)
def test_raw_bytes_stay_as_they_are(data: bytes) -> None:
    """Raw neither adds nor changes a byte."""
    assert Raw().encode(data) == data
    assert Raw().decode(data) == data


@pytest.mark.parametrize("value", ["text", None, 5, bytearray(b"x")])
def test_raw_takes_nothing_but_bytes(value: Any) -> None:
    """Anything but bytes is a CodecError, not a guess at an encoding."""
    with pytest.raises(CodecError, match=r"^Raw takes bytes, not \w+$"):
        Raw().encode(value)


@given(data=st.binary(max_size=3000) | st.text("ab", max_size=3000).map(str.encode), level=st.integers(1, 9))
@settings(deadline=None)
def test_compressed_values_come_back(data: bytes, level: int) -> None:
    """Whatever the size and the level, what was compressed comes back."""
    codec = Compressed(Raw(), min_size=100, level=level)
    assert codec.decode(codec.encode(data)) == data
    assert len(codec.encode(data)) <= len(data) + 1


def test_only_big_compressible_values_are_compressed() -> None:
    """Small values and those that would not shrink keep their bytes behind a header of one byte."""
    codec = Compressed(Raw(), min_size=1024)
    noise = random.Random(5).randbytes(5000)
    assert codec.encode(b"x" * 1023) == b"\0" + b"x" * 1023
    assert codec.encode(noise) == b"\0" + noise
    assert codec.encode(b"x" * 1024) == b"\1" + zlib.compress(b"x" * 1024, 6)


def test_a_small_value_cannot_fill_the_memory() -> None:
    """A compressed value that unpacks to more than the limit is refused without unpacking it all."""
    bomb = b"\1" + zlib.compress(b"\0" * 50_000_000, 9)
    codec = Compressed(Raw(), max_size=1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match="more than the limit of 1000000 bytes"):
            codec.decode(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_the_limit_is_exact_and_holds_for_writing() -> None:
    """A value of just the limit goes in and out; one byte more is refused when it is encoded."""
    codec = Compressed(Raw(), min_size=0, max_size=1000)
    assert codec.decode(codec.encode(b"x" * 1000)) == b"x" * 1000
    with pytest.raises(CodecError, match="1001 bytes are more than the limit of 1000"):
        codec.encode(b"x" * 1001)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"\2" + data[1:],
        lambda data: data[1:],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"\1",
        lambda data: data[:20] + b"\xff" + data[21:],
    ],
)
def test_damaged_compression_is_a_codec_error(damage: Any) -> None:
    """Cut off, prolonged, changed or headless bytes are a CodecError."""
    data = Compressed(Raw()).encode(random.Random(5).randbytes(1000) * 2)
    with pytest.raises(CodecError):
        Compressed(Raw()).decode(damage(data))


@pytest.mark.parametrize("options", [{"level": 0}, {"level": 10}, {"min_size": -1}, {"min_size": 2**40}])
def test_compression_options_are_checked(options: Any) -> None:
    """A level or size outside its range is refused by the constructor."""
    with pytest.raises(ValueError, match=r"^(level|min_size) must be between"):
        Compressed(Raw(), **options)


def test_content_types_tell_codecs_apart() -> None:
    """What is stored says how it was written."""
    found = [codec.content_type for codec in (Raw(), Json(), codec_for(User), Compressed(codec_for(User)))]
    assert len(set(found)) == 4
    assert found[3] == "application/json;deflate"


# Fuzzing

FUZZED: dict[str, tuple[Any, list[Any]]] = {
    "untyped-msgspec": (untyped("msgspec"), []),
    "untyped-stdlib": (untyped("stdlib"), []),
    "user-msgspec": (typed("msgspec", User), [value for type_, value in ROUND_TRIPS if type_ is User]),
    "user-stdlib": (typed("stdlib", User), [value for type_, value in ROUND_TRIPS if type_ is User]),
    "struct": (codec_for(Struct), [Struct("Ada", 36)]),
    "model": (codec_for(Model), [Model(name="Ada")]),
    "compressed": (Compressed(Json(), min_size=10), []),
}
AWKWARD = [
    {"a": [b"\0\1", (1, {2, "b"}), datetime(2026, 1, 2), 2**70, math.nan], 1: Decimal("1.5"), "$x": "$"},
    [1.5] * 9,
]


@pytest.mark.parametrize("name", FUZZED)
def test_any_bytes_decode_or_are_a_codec_error(name: str) -> None:
    """10,000 random and 10,000 mutated payloads give a value or a CodecError, and no other exception."""
    codec, values = FUZZED[name]
    chance = random.Random(name)
    valid = [codec.encode(value) for value in values or AWKWARD]
    refused = 0
    for number in range(20_000):
        data = chance.randbytes(chance.randrange(60)) if number % 2 else _mutated(chance, chance.choice(valid))
        try:
            codec.decode(data)
        except CodecError:
            refused += 1
    assert 10_000 < refused < 20_000


def _mutated(chance: random.Random, data: bytes) -> bytes:
    bytes_ = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(bytes_))
        match chance.randrange(4):
            case 0:
                bytes_[at] = chance.randrange(256)
            case 1:
                bytes_[at] = chance.choice(b'"{}[]$:,09-nt')
            case 2:
                del bytes_[at : at + chance.randint(1, 4)]
            case _:
                bytes_[at:at] = bytes_[: chance.randint(0, 20)]
        if not bytes_:
            break
    return bytes(bytes_)
