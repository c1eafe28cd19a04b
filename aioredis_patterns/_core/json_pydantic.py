"""Pydantic models in JSON: recognised by their attributes, so pydantic is imported only where a model is used.

They are written and read by the names of their fields: an alias may be one for reading alone, or for writing alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from json import dumps
from typing import Any, get_args

__all__ = ("dump_model", "is_model", "load_model", "mentions_model", "typed")


def is_model(type_: Any) -> bool:
    """Whether the type is a pydantic model (or a dataclass of pydantic's)."""
    return isinstance(type_, type) and hasattr(type_, "__pydantic_validator__")


def mentions_model(type_: Any) -> bool:
    """Whether the type is a model or has one among its arguments, as `list[Model] | None` does."""
    return is_model(type_) or any(map(mentions_model, get_args(type_)))


def typed(type_: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """The two functions that write and read a type that mentions a model."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - only who uses a model has it installed

    adapter = TypeAdapter[Any](type_)
    return partial(_dumps, adapter), partial(adapter.validate_json, by_name=True)


def _dumps(adapter: Any, value: Any) -> bytes:
    data: bytes = adapter.dump_json(value, by_alias=False)
    # A NaN is written as null, which would come back as None or not at all.
    if data.find(b"null") >= 0:
        dumps(adapter.dump_python(value, mode="json", by_alias=False), allow_nan=False)
    return data


def dump_model(value: Any) -> Any:
    """A model that is found inside a value of another kind, in JSON's own types."""
    if is_model(type(value)) and hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=False)
    raise TypeError(f"no JSON form is known for {type(value).__qualname__}")


def load_model(type_: Any, value: Any) -> Any:
    """The model inside a value of another kind."""
    if is_model(type_):
        return type_.model_validate(value, by_name=True)
    raise TypeError(f"no JSON form is known for {type_!r}")
