"""Strange input: names that look like one another, texts that mean something to somebody, and what must be refused."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any, Final

__all__ = ("NO_NAMES", "NO_PAYLOADS", "names", "payload", "text")

_PARTS: Final = (
    *(
        "{",
        "}",
        "|",
        "%",
        ":",
        "*",
        "?",
        "[",
        "]",
        "\\",
        "'",
        '"',
        "/",
        "-",
        ".",
        "{}",
        "}:",
        "|}",
        "%7B",
        "%7C",
        "%25",
    ),
    *(" ", "\t", "\r\n", "\n", "\0", "\x1f", "\x7f", "\x85", "$", "$bytes", "\r\n*1\r\n$4\r\nPING\r\n", "nil", "None"),
    *(
        "a",
        "b",
        "A",
        "0",
        "1",
        "-1",
        "1e309",
        "nan",
        "inf",
        "user:42",
        "ä",
        "ä",
        "ß",
        "日本",
        "🎉",
        "👩‍🚀",
        "\u202e",
        "\ufeff",
    ),
)
_LONGEST: Final = 512
_SPARE: Final = 60
"""Characters that a probe may put before or behind a name of its own."""

NO_NAMES: Final[tuple[Any, ...]] = (
    *("", "x" * (_LONGEST + 1), "{" * 200, "\ud800", "ok\udfff", "\0" * 171),
    *(b"name", bytearray(b"name"), True, 1.5, math.nan, [], ("a",), object()),
)
"""What is the name of nothing."""

NO_PAYLOADS: Final[tuple[Any, ...]] = (object(), lambda: 0, {"deep": [object()]}, "\ud800", {1: {"\udfff": 1}}, type)
"""What no codec can write so that it comes back."""


def text(dice: random.Random) -> str:
    """One to some hundred characters that may stand in a name."""
    parts = dice.choices(_PARTS, k=dice.choice((1, 1, 2, 3, 5, 8)))
    if dice.random() < 0.1:
        parts += [chr(dice.choice((dice.randrange(0x20, 0xD800), dice.randrange(0xE000, 0x110000)))) for _ in range(9)]
    if dice.random() < 0.02:
        parts.append("x" * dice.randrange(200, _LONGEST))
    found = "".join(parts)
    while not _fits(found):
        found = found[: len(found) * 2 // 3]
    return found


def _fits(name: str) -> bool:
    """Whether it is short enough for a name, escaped as it may be."""
    return len(name) + 5 * sum(not char.isalnum() for char in name) <= _LONGEST - _SPARE


def names(dice: random.Random) -> Iterator[tuple[str, str | int]]:
    """Names with subjects, no two of them the same, and many of them nearly."""
    seen: set[tuple[str, str]] = set()
    near: list[str] = ["a"]
    while True:
        name, subject = (dice.choice(near) if dice.random() < 0.3 else text(dice) for _ in range(2))
        if dice.random() < 0.2:  # the same characters, divided in another place
            whole = f"{name}|{subject}"
            place = dice.randrange(1, len(whole))
            name, subject = whole[:place], whole[place:]
        if (name, subject) not in seen and _fits(name) and _fits(subject):
            seen.add((name, subject))
            near = [*near[-50:], name, subject]
            yield name, int(subject) if subject in ("0", "1", "-1") and dice.random() < 0.5 else subject


def payload(dice: random.Random, depth: int = 2) -> Any:
    """A value of the built-in types."""
    kind = dice.randrange(10 if depth else 7)
    if kind < 3:
        return text(dice)
    if kind < 7:
        return dice.choice((None, True, False, 0, -1, 2**63, 10**40, 1.5, -0.0, math.inf, 1e-300, b"", b"\0\xff", ""))
    if kind == 7:
        return [payload(dice, depth - 1) for _ in range(dice.randrange(4))]
    if kind == 8:
        return tuple(payload(dice, depth - 1) for _ in range(dice.randrange(3)))
    return {text(dice): payload(dice, depth - 1) for _ in range(dice.randrange(4))}
