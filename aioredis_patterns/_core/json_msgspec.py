"""JSON by msgspec: plain values, and typed ones at the speed of its compiled decoders.

`json_stdlib` has the same three functions for an installation without msgspec; each reads what the other wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from aioredis_patterns._core.json_pydantic import dump_model, is_model, load_model

__all__ = ("dumps", "loads", "typed")

dumps: Callable[[Any], bytes] = msgspec.json.Encoder().encode
"""The JSON of a value made of JSON's own types."""

loads: Callable[[bytes], Any] = msgspec.json.Decoder().decode
"""The value of JSON's own types that the text holds."""

_encode_typed = msgspec.json.Encoder(enc_hook=dump_model).encode


def typed(type_: Any) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """The two functions that write and read one type.

    Raises:
        TypeError: msgspec cannot tell what the type is, or cannot tell the members of a union apart.
    """
    if isinstance(msgspec.inspect.type_info(type_), msgspec.inspect.CustomType) and not is_model(type_):
        raise TypeError(f"no JSON form is known for {type_!r}")
    return _dumps_typed, msgspec.json.Decoder(type_, dec_hook=load_model).decode


def _dumps_typed(value: Any) -> bytes:
    data = _encode_typed(value)
    # msgspec writes NaN and the infinities as null, which would come back as None or not at all.
    if data.find(b"null") >= 0:
        json.dumps(msgspec.to_builtins(value, str_keys=True, enc_hook=dump_model), allow_nan=False)
    return data
