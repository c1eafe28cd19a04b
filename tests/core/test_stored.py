"""What is read from Redis and makes no sense is a CodecError, and what else goes wrong stays what it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from aioredis_patterns import CodecError
from aioredis_patterns._core.stored import Stored, stored_texts

SENSELESS: tuple[Callable[[], Any], ...] = (
    lambda: int(b"many"),
    b"\xff".decode,
    lambda: {}[b"field"],
    lambda: b"".split()[0],
    lambda: datetime.fromtimestamp(10**30, UTC),
    lambda: int(float(b"inf")),
)


@pytest.mark.parametrize("read", SENSELESS)
def test_what_makes_no_sense_is_a_codec_error(read: Callable[[], Any]) -> None:
    """Whatever Python raises of such bytes, the caller gets the one error, which tells what was read."""
    with pytest.raises(CodecError, match="what is stored as a counter is none") as raised, Stored("a counter"):
        read()
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt, TypeError, CodecError])
def test_other_errors_pass(error: type[BaseException]) -> None:
    """An interrupt, a mistake of the program and an error that says it already are left alone."""
    with pytest.raises(error, match="as it was"), Stored("a counter"):
        raise error("as it was")


def test_texts_keep_their_order() -> None:
    """Bytes that are texts come back as such, and one that is none spoils them all."""
    assert stored_texts([b"b", "ä".encode(), b"a"]) == ["b", "ä", "a"]
    with pytest.raises(CodecError, match="a member"):
        stored_texts([b"b", b"\xff"])
