"""What each kind of limit does, said again in Python: with fractions, without Redis, without care for speed.

A model answers a call at a time (us) as the script should: allowed, remaining, microseconds to wait (-1 for ever) and
microseconds until nothing is used. It knows nothing of reservations that are given back: it is told to forget them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from fractions import Fraction
from math import ceil, floor
from typing import ClassVar, Self

Answer = tuple[int, int, int, int]


class Model(ABC):
    """A limit of so much per period (us)."""

    name: ClassVar[str]

    def __init__(self, limit: int, period: int, burst: int, backlog: int) -> None:
        self.change(limit, period, burst, backlog)

    def change(self, limit: int, period: int, burst: int, backlog: int) -> None:
        self.limit, self.period, self.burst, self.backlog = limit, period, burst, backlog

    @property
    def capacity(self) -> int:
        return self.limit

    @abstractmethod
    def remaining(self, now: int) -> int:
        """What is left."""

    @abstractmethod
    def wait(self, now: int, cost: int) -> int:
        """Microseconds until so much could be used."""

    @abstractmethod
    def reset(self, now: int) -> int:
        """Microseconds until nothing is used."""

    @abstractmethod
    def use(self, at: int, cost: int) -> None:
        """So much is used at this time."""

    @abstractmethod
    def give_back(self, now: int, cost: int) -> None:
        """So much is not used after all."""

    def copy(self) -> Self:
        return deepcopy(self)

    def peek(self, now: int, cost: int) -> Answer:
        if cost == 0:
            return 1, self.remaining(now), 0, self.reset(now)
        wait = -1 if cost > self.capacity else self.wait(now, cost)
        return int(wait == 0), self.remaining(now), wait, self.reset(now)

    def hit(self, now: int, cost: int) -> Answer:
        answer = self.peek(now, cost)
        if not answer[0]:
            return answer
        self.use(now, cost)
        return 1, self.remaining(now), 0, self.reset(now)

    def refund(self, now: int, cost: int) -> Answer:
        self.give_back(now, cost)
        return self.peek(now, cost)
