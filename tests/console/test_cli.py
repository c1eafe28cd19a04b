from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.command import command, without_rich


@pytest.mark.parametrize("arguments", [("tour",), ("doctor", "redis://127.0.0.1:1")])
async def test_what_is_missing_is_said(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Without rich a command says what to install, and does nothing."""
    answer = await command(*arguments, environment=without_rich(tmp_path))
    assert (answer.code, answer.out) == (2, "")
    assert "pip install 'aioredis-patterns[cli]'" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("doctor",),
        ("doctor", "redis://127.0.0.1:1", "--timeout", "nan"),
        ("doctor", "redis://127.0.0.1:1", "--timeout", "soon"),
        ("doctor", "redis://127.0.0.1:1", "--prefix", ""),
    ],
)
async def test_a_command_that_makes_no_sense_is_refused(arguments: tuple[str, ...]) -> None:
    """A missing or senseless argument ends with the usage and exit code 2."""
    answer = await command(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("usage: aioredis-patterns")
    assert "Traceback" not in answer.err
