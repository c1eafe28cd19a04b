"""Flag: how one flag is set, and in which part of all users somebody is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from aioredis_patterns._core.keys import check_name
from aioredis_patterns.codecs import codec_for

__all__ = ("FLAG_CODEC", "Flag", "is_whole")

_BUCKETS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """How a flag is set. `FeatureFlags.set` says what each of its fields does.

    Raises:
        ValueError: The fields make no sense.
        TypeError: One of them is of another type.

    Example:
        >>> Flag(name="new-ui", percentage=10).covers("user:1"), Flag(name="new-ui", percentage=90).covers("user:1")
        (False, True)
        >>> Flag(name="button", variants={"red": 1, "blue": 1}).variant_of("user:1")
        'blue'
    """

    name: str
    killed: bool = False
    percentage: float = 0.0
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    requires: frozenset[str] = frozenset()
    variants: dict[str, int] = field(default_factory=dict)
    starts: datetime | None = None
    ends: datetime | None = None
    salt: str | None = None
    revision: int = 0

    def __post_init__(self) -> None:
        check_name(self.name, "flag")
        _check_kinds(self.killed, self.percentage)
        if not 0 <= self.percentage <= 100:
            raise ValueError(f"percentage must be from 0 to 100, not {self.percentage!r}")
        if self.name in self.requires:
            raise ValueError(f"flag {self.name!r} must not require itself")
        if self.salt is not None:
            check_name(self.salt, "salt")
        self._check_schedule()
        self._check_variants()

    def _check_schedule(self) -> None:
        _check_moment(self.starts, "starts")
        _check_moment(self.ends, "ends")
        if self.starts is not None and self.ends is not None and self.starts >= self.ends:
            raise ValueError(f"starts must be before ends, but {self.starts} is not before {self.ends}")

    def _check_variants(self) -> None:
        for variant, weight in self.variants.items():
            check_name(variant, "variant")
            if not is_whole(weight, 0):
                raise ValueError(f"weight of variant {variant!r} must be an int of 0 or more, not {weight!r}")
        if self.variants and not any(self.variants.values()):
            raise ValueError("at least one variant must have a weight above 0")

    def covers(self, user: str | None) -> bool:
        """Whether a user is in the part of all that the percentage says; somebody unknown only in the whole."""
        if user is None or not 0 < self.percentage < 100:
            return self.percentage >= 100
        return self._place(user, "rollout") % _BUCKETS < round(self.percentage * 1000)

    def variant_of(self, user: str) -> str | None:
        """The variant of a user, the same as long as the weights are; None when there are no variants."""
        left = self._place(user, "variant") % max(sum(self.variants.values()), 1)
        for variant in sorted(self.variants):
            left -= self.variants[variant]
            if left < 0:
                return variant
        return None

    def _place(self, user: str, use: str) -> int:
        """Where a user stands, in every process and for ever: whoever changes this, moves everybody."""
        text = f"{self.name if self.salt is None else self.salt}\0{use}\0{user}"
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def is_whole(value: Any, least: int) -> bool:
    """Whether it is an int of so much or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_kinds(killed: Any, percentage: Any) -> None:
    if not isinstance(killed, bool):
        raise TypeError(f"killed must be a bool, not {killed!r}")
    if isinstance(percentage, bool) or not isinstance(percentage, (int, float)):
        raise TypeError(f"percentage must be a number, not {percentage!r}")


def _check_moment(at: Any, what: str) -> None:
    if at is not None and (not isinstance(at, datetime) or at.utcoffset() is None):
        raise ValueError(f"{what} must be a datetime with a time zone, not {at!r}")


FLAG_CODEC: Final = codec_for(Flag)
