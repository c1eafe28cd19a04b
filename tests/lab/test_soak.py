"""The soak finds what grows, and the patterns under it are really used."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.lab.soak import BOUNDS, Soak, soak

LOOKS = 40


@pytest.mark.parametrize("grows", [*BOUNDS, None])
def test_what_grows_is_found(pipelined: Any, grows: str | None) -> None:
    """Growth in the second half by a little more than the bound is seen, and noise and an early rise are not."""
    dice, run = random.Random(1), Soak(pipelined, pipelined, random.Random(1))
    for at in range(LOOKS):
        early = min(at, LOOKS / 4) * 10
        noise = [dice.random() * bound / 10 for bound in BOUNDS.values()]
        risen = [at * bound * 1.2 if what == grows else 0.0 for what, bound in BOUNDS.items()]
        run.looks.append((at * 60.0, *(early + sum(both) for both in zip(noise, risen, strict=True))))
    assert [what for what, slope in run.growth().items() if slope > BOUNDS[what]] == [grows] * (grows is not None)


async def test_patterns_are_used_while_it_goes_wrong() -> None:
    """In a moment of it thousands of calls end well, some of them are cancelled, and everything is looked at."""
    run = await soak(1.0, seed=1, every=0.25)
    assert run.ends["well"] > 200
    assert run.ends["its caller left"] > 0
    assert all(len(look) == len(BOUNDS) + 1 for look in run.looks)
