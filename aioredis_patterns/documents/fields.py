"""Fields: what a dataclass or a pydantic model is made of, each part with a codec of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Generic, TypeVar, Union, final, get_args, get_origin, get_type_hints

from aioredis_patterns._core.json_pydantic import is_model
from aioredis_patterns.codecs import codec_for
from aioredis_patterns.errors import CodecError
from aioredis_patterns.types import Codec

__all__ = ("Field", "Fields")

T = TypeVar("T")

_REQUIRED: Final = object()


@final
@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Args:
        name: What it is called, in the type and in the hash.
        codec: How its values become bytes.
        default: Its value where there is none in the hash.
        number: int or float where it can be counted.
        check: Makes a valid value of what it is given, or raises.
    """

    name: str
    codec: Codec[Any]
    default: Any
    number: type | None
    check: Callable[[Any], Any] | None = None

    @property
    def required(self) -> bool:
        """Whether there must be a value."""
        return self.default is _REQUIRED

    def encode(self, value: Any) -> bytes:
        """The bytes of a value of this field's type; another's would be found out only when it is read."""
        try:
            data = self.codec.encode(value if self.check is None else self.check(value))
            self.codec.decode(data)
        except (CodecError, ValueError, TypeError) as error:
            raise CodecError(f"field {self.name!r} cannot be {value!r:.80}: {error}") from error
        return data


@final
class Fields(Generic[T]):
    """The fields of a type.

    Raises:
        TypeError: It is no dataclass and no pydantic model, or a field of it has no JSON form.
    """

    __slots__ = ("_by_name", "_make", "_type")

    def __init__(self, type_: type[T]) -> None:
        self._type = type_
        self._make, found = _taken_apart(type_)
        self._by_name = {field.name: field for field in found}
        if not self._by_name:
            raise TypeError(f"{type_.__qualname__} has no fields")

    def __getitem__(self, name: str) -> Field:
        field = self._by_name.get(name)
        if field is None:
            raise TypeError(f"{self._type.__qualname__} has no field {name!r}")
        return field

    def encode(self, value: T) -> dict[str, bytes]:
        """The bytes of every field."""
        if not isinstance(value, self._type):
            raise TypeError(f"a record of {self._type.__qualname__} cannot be {value!r:.80}")
        return self.encode_some({name: getattr(value, name) for name in [*self._by_name, *_more(value)]})

    def encode_some(self, values: Mapping[str, Any]) -> dict[str, bytes]:
        """The bytes of some fields."""
        return {name: self[name].encode(value) for name, value in values.items()}

    def decode(self, stored: Mapping[bytes, bytes]) -> T:
        """The value that a hash holds; fields that the type does not know are left out."""
        found = {}
        for name, field in self._by_name.items():
            data = stored.get(name.encode())
            if data is not None:
                found[name] = field.codec.decode(data)
            elif field.required:
                raise CodecError(f"the record has no field {name!r}, and {self._type.__qualname__} no default for it")
        try:
            value: T = self._make(found)
        except (ValueError, TypeError) as error:
            raise CodecError(f"the record is no {self._type.__qualname__}: {error}") from error
        return value


def _more(value: Any) -> Iterable[str]:
    """What a model holds beside its fields, where its type lets it."""
    return getattr(value, "model_extra", None) or ()


def _taken_apart(type_: Any) -> tuple[Callable[[dict[str, Any]], Any], Iterable[Field]]:
    """What makes a value of the type from its fields, and these."""
    if isinstance(type_, type) and dataclasses.is_dataclass(type_):
        return partial(_called, type_), _fields_of_a_dataclass(type_)
    if is_model(type_):
        return partial(type_.model_validate, by_name=True), _fields_of_a_model(type_)
    raise TypeError(f"a record is a dataclass or a pydantic model, not {type_!r}")


def _called(type_: Callable[..., T], values: dict[str, Any]) -> T:
    return type_(**values)


def _fields_of_a_dataclass(type_: Any) -> Iterable[Field]:
    hints = get_type_hints(type_)
    for field in dataclasses.fields(type_):
        if field.init:
            default = _REQUIRED if field.default is dataclasses.MISSING else field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            hint = hints[field.name]
            yield Field(field.name, codec_for(hint), default, _number(hint))


def _fields_of_a_model(type_: Any) -> Iterable[Field]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - only who uses a model has it installed

    for name, info in type_.model_fields.items():
        number = _number(info.annotation)
        default = info.get_default(call_default_factory=number is not None)
        form: Any = Annotated  # which no type checker lets be made of variables
        checked = form[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        check = TypeAdapter[Any](checked).validate_python
        yield Field(name, codec_for(info.annotation), _REQUIRED if info.is_required() else default, number, check)


def _number(hint: Any) -> type | None:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = {kind for kind in members if kind is not NoneType}
    return next((kind for kind in (int, float) if kinds == {kind}), None)
