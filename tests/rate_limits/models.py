"""What each kind of limit does, said again in Python: with fractions, without Redis, without care for speed.

A model answers calls at a time (us) as the scripts do: allowed, remaining, microseconds to wait (-1 for ever) and
microseconds until nothing is used. A reservation is answered with the time to wait for it, or for its refusal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor, gcd
from typing import ClassVar, Self

Answer = tuple[int, int, int, int]


@dataclass
class Model(ABC):
    """A limit of so much per period (us), with the burst and the backlog where it has them."""

    limit: int
    period: int
    burst: int
    backlog: int
    mends_when_refusing: ClassVar[bool] = False
    #: When the server forgets the state, in ms; after that it is as if nothing had ever been used.
    expires_ms: int = field(default=-1, init=False)

    @property
    def capacity(self) -> int:
        return self.limit

    @abstractmethod
    def forget(self) -> None:
        """Nothing is used."""

    @abstractmethod
    def remaining(self, now: int) -> int: ...

    @abstractmethod
    def wait(self, now: int, cost: int) -> int: ...

    @abstractmethod
    def reset(self, now: int) -> int: ...

    @abstractmethod
    def use(self, now: int, cost: int, at: int) -> None:
        """So much is used, at this time now or later."""

    @abstractmethod
    def charge(self, now: int, cost: int) -> None:
        """So much was denied, and counts as far as there is room."""

    @abstractmethod
    def give_back(self, now: int, cost: int) -> None: ...

    def settle(self, now: int) -> None:
        """Forget what the server has forgotten by now."""
        if now // 1000 > self.expires_ms:
            self.forget()

    def keep(self, now: int) -> None:
        """The state was stored."""
        lasting = self.lasting(now)
        self.expires_ms = now // 1000 + floor(lasting) // 1000 + 2 if lasting else -1

    def change(self, now: int, limit: int, period: int, burst: int, backlog: int) -> Answer:
        """Another limit, and the first hit under it."""
        Model.settle(self, now)
        before = Fraction(self.limit, self.period), self.period
        self.limit, self.period, self.burst, self.backlog = limit, period, burst, backlog
        answer = self.hit(now, 1)
        self.mend(now, stale=self.is_stale(*before))
        return answer

    def mend(self, now: int, *, stale: bool = False) -> None:
        """What is left as it is is stored anew where it would not live as long as it says something."""
        left, seen = self.expires_ms - now // 1000, copy(self)
        seen.settle(now)
        if left >= 0 and (stale or abs(left - seen.lasting(now) / 1000) > 5):
            self.settle(now)
            self.keep(now)

    def lasting(self, now: int) -> Fraction | int:
        """The same as `reset`, before it is rounded."""
        return self.reset(now)

    def is_stale(self, rate: Fraction, period: int) -> bool:
        """Whether what is stored under this rate and period is stored anew by the first hit, even a denied one."""
        return rate != Fraction(self.limit, self.period)

    def cancel(self, now: int, before: Self) -> Self:
        """The last reservation is given back: all is as before, but that the expiry was moved."""
        before.expires_ms = self.expires_ms
        return before

    def peek(self, now: int, cost: int) -> Answer:
        """What a hit would be answered; on a copy, as nothing is stored."""
        seen = copy(self)
        seen.settle(now)
        if cost == 0:
            return 1, seen.remaining(now), 0, seen.reset(now)
        wait = -1 if cost > seen.capacity else seen.wait(now, cost)
        return int(wait == 0), seen.remaining(now), wait, seen.reset(now)

    def hit(self, now: int, cost: int, *, charged: bool = False) -> Answer:
        answer = self.peek(now, cost)
        if not answer[0]:
            self.mend(now)
            if charged:
                self.charge(now, cost)
                answer = 0, *self.peek(now, cost)[1:]
            return answer
        self.settle(now)
        self.use(now, cost, now)
        self.keep(now)
        return 1, self.remaining(now), 0, self.reset(now)

    def refund(self, now: int, cost: int) -> Answer:
        self.settle(now)
        self.give_back(now, cost)
        self.keep(now)
        return self.peek(now, cost)

    def reserve(self, now: int, cost: int, patience: int) -> Answer:
        _, remaining, wait, reset = self.peek(now, cost)
        seen = copy(self)
        seen.settle(now)
        if wait < 0 or seen.is_too_far(now, cost, wait) or 0 <= patience < wait:
            if self.mends_when_refusing:
                self.mend(now)
            return 0, remaining, wait, reset
        self.settle(now)
        self.use(now, cost, now + wait)
        self.keep(now)
        return 1, self.remaining(now), wait, self.reset(now)

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        """Whether the backlog forbids to wait for it."""
        return wait > -(-self.backlog // self.limit) * self.period


@dataclass
class TokenBucketModel(Model):
    mends_when_refusing = True
    level: Fraction | None = field(default=None, init=False)
    stamp: int = field(default=0, init=False)
    rate: Fraction = field(default=Fraction(0), init=False)

    @property
    def capacity(self) -> int:
        return self.burst

    def forget(self) -> None:
        self.level = None

    def settle(self, now: int) -> None:
        super().settle(now)
        if self.level is None:
            self.level = Fraction(self.burst)
        else:
            self.level += (now - self.stamp) * self.rate
        share = Fraction(gcd(self.limit, self.period), self.period)
        self.level = min(floor(self.level / share) * share, Fraction(self.burst))
        self.stamp, self.rate = now, Fraction(self.limit, self.period)

    def change(self, now: int, limit: int, period: int, burst: int, backlog: int) -> Answer:
        Model.settle(self, now)  # at the old rate, and not yet cut to the new shares
        if self.level is not None:
            self.level, self.stamp = self.level + (now - self.stamp) * self.rate, now
        return super().change(now, limit, period, burst, backlog)

    def remaining(self, now: int) -> int:
        return max(floor(self.level), 0)

    def wait(self, now: int, cost: int) -> int:
        return max(ceil((cost - self.level) / self.rate), 0)

    def reset(self, now: int) -> int:
        return ceil((self.burst - self.level) / self.rate)

    def use(self, now: int, cost: int, at: int) -> None:
        self.level -= cost

    def charge(self, now: int, cost: int) -> None:
        self.settle(now)
        if self.level > 0:
            self.level = Fraction(0)
            self.keep(now)

    def give_back(self, now: int, cost: int) -> None:
        self.level = min(self.level + cost, Fraction(self.burst))

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        return self.level - cost < -self.backlog


@dataclass
class GcraModel(Model):
    mends_when_refusing = True
    used: Fraction = field(default=Fraction(0), init=False)
    #: What was owed when it was stored, where that is more than the capacity.
    owed: Fraction = field(default=Fraction(0), init=False)
    stamp: int = field(default=0, init=False)
    rate: Fraction = field(default=Fraction(0), init=False)

    @property
    def capacity(self) -> int:
        return self.burst

    def forget(self) -> None:
        self.used = self.owed = Fraction(0)

    def settle(self, now: int) -> None:
        super().settle(now)
        share = Fraction(gcd(self.limit, self.period), self.period)
        self.used = max(self.used - (now - self.stamp) * self.rate, Fraction(0))
        self.used = min(ceil(self.used / share) * share, Fraction(max(self.burst + self.backlog, ceil(self.owed))))
        self.stamp, self.rate = now, Fraction(self.limit, self.period)

    def keep(self, now: int) -> None:
        super().keep(now)
        self.owed = self.used if self.used > self.burst else Fraction(0)

    def change(self, now: int, limit: int, period: int, burst: int, backlog: int) -> Answer:
        Model.settle(self, now)
        self.used, self.stamp = max(self.used - (now - self.stamp) * self.rate, Fraction(0)), now
        return super().change(now, limit, period, burst, backlog)

    def remaining(self, now: int) -> int:
        return max(floor(self.burst - self.used), 0)

    def wait(self, now: int, cost: int) -> int:
        return max(ceil((self.used + cost - self.burst) / self.rate), 0)

    def reset(self, now: int) -> int:
        return ceil(self.used / self.rate)

    def use(self, now: int, cost: int, at: int) -> None:
        self.used += cost

    def charge(self, now: int, cost: int) -> None:
        self.settle(now)
        if self.used < self.burst:
            self.used = min(self.used + cost, Fraction(self.burst))
            self.keep(now)

    def give_back(self, now: int, cost: int) -> None:
        self.used = max(self.used - cost, Fraction(0))

    def lasting(self, now: int) -> Fraction | int:
        return self.used / self.rate

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        return self.used + cost - self.burst > self.backlog


@dataclass
class LeakyBucketModel(GcraModel):
    def __post_init__(self) -> None:
        self.backlog = 0

    def keep(self, now: int) -> None:
        super().keep(now)
        self.owed = self.used

    def change(self, now: int, limit: int, period: int, burst: int, backlog: int) -> Answer:
        return super().change(now, limit, period, burst, 0)

    def reserve(self, now: int, cost: int, patience: int) -> Answer:
        _, remaining, room_in, reset = self.peek(now, cost)
        if room_in or 0 <= patience < reset:
            self.mend(now)
            return 0, remaining, room_in or reset, reset
        self.settle(now)
        self.use(now, cost, now)
        self.keep(now)
        return 1, self.remaining(now), reset, self.reset(now)


@dataclass
class FixedWindowModel(Model):
    """The last window that has something in it; where it has not begun, those before it are full. Times in ms."""

    count: int = field(default=0, init=False)
    #: When the window with the reservations begins, None where there are none.
    begins_ms: int | None = field(default=None, init=False)

    @property
    def length(self) -> int:
        return -(-self.period // 1000)

    def forget(self) -> None:
        self.count, self.begins_ms, self.expires_ms = 0, None, -1

    def settle(self, now: int) -> None:
        super().settle(now)
        ends = (now // 1000 if self.begins_ms is None else self.begins_ms) + self.length
        if ends < self.expires_ms:
            self.expires_ms = ends
            if not self.is_ahead(now):
                self.begins_ms = None
            if ends <= now // 1000:
                self.forget()

    def is_stale(self, rate: Fraction, period: int) -> bool:
        return True

    def ends(self, now: int) -> int:
        return self.expires_ms if self.expires_ms >= 0 else now // 1000 + self.length

    def is_ahead(self, now: int) -> bool:
        return self.begins_ms is not None and self.begins_ms >= now // 1000

    def keep(self, now: int) -> None:
        if self.count == 0:
            self.forget()

    def mend(self, now: int, *, stale: bool = False) -> None:
        if self.expires_ms >= 0:
            self.settle(now)

    def remaining(self, now: int) -> int:
        return 0 if self.is_ahead(now) else max(self.limit - self.count, 0)

    def wait(self, now: int, cost: int) -> int:
        if cost <= self.remaining(now):
            return 0
        turn = self.begins_ms if self.is_ahead(now) and cost <= self.limit - self.count else self.ends(now)
        return (turn + 1) * 1000 - now

    def reset(self, now: int) -> int:
        return (self.expires_ms + 1) * 1000 - now if self.expires_ms >= 0 else 0

    def use(self, now: int, cost: int, at: int) -> None:
        begins, self.expires_ms = self.begins_ms, self.ends(now)
        if at > now and cost > self.limit - self.count:
            self.count, begins, self.expires_ms = 0, self.expires_ms, self.expires_ms + self.length
        self.count, self.begins_ms = self.count + cost, begins if at > now else None

    def charge(self, now: int, cost: int) -> None:
        self.settle(now)
        if self.remaining(now):
            self.count, self.expires_ms = self.limit, self.ends(now)

    def give_back(self, now: int, cost: int) -> None:
        self.count = max(self.count - cost, 0)
        if self.count == 0 and self.is_ahead(now):
            self.count, length, self.expires_ms = self.limit, self.expires_ms - self.begins_ms, self.begins_ms
            self.expires_ms = max(self.expires_ms, now // 1000 + 1)
            self.begins_ms -= length
        if not self.is_ahead(now):
            self.begins_ms = None

    def cancel(self, now: int, before: Self) -> Self:
        return before

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        opened = 0 if cost <= self.limit - self.count else self.length
        return self.ends(now) - now // 1000 + opened > (1 - (-self.backlog // self.limit)) * self.length


@dataclass
class SlidingWindowModel(Model):
    start: int = field(default=0, init=False)
    counts: dict[int, int] = field(default_factory=dict, init=False)  # by the number of the window since `start`
    due: int = field(default=0, init=False)
    #: The period that the windows have.
    counted_by: int = field(default=0, init=False)

    def forget(self) -> None:
        self.counts, self.due = {}, 0

    def settle(self, now: int) -> None:
        super().settle(now)
        if self.counted_by != self.period:
            # What weighs when the period changes counts as if it had come then.
            at = self.seen(now)
            weight = self.weight(at, self.counted_by) if self.counts else 0
            self.start, self.counts, self.counted_by = at, {0: weight}, self.period
        if not any(self.counts.values()):
            self.forget()

    def is_stale(self, rate: Fraction, period: int) -> bool:
        return period != self.period

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        ahead = -(-self.backlog // self.limit)
        return wait > (ahead + 1 if ahead else 0) * self.period

    def weight(self, at: int, period: int | None = None) -> int:
        """What the windows weigh together at a time, which is not before the last reservation."""
        period = period or self.period
        window, into = divmod(at - self.start, period)
        before, count = self.counts.get(window - 1, 0), self.counts.get(window, 0)
        return count + floor(before * Fraction(period - into, period))

    def seen(self, now: int) -> int:
        return max(now, self.due)

    def remaining(self, now: int) -> int:
        return 0 if self.due > now else max(self.limit - self.weight(now), 0)

    def wait(self, now: int, cost: int) -> int:
        low, high = -1, 3 * self.period
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.weight(self.seen(now) + middle) + cost <= self.limit
            low, high = (low, middle) if fits else (middle, high)
        return self.seen(now) - now + high

    def reset(self, now: int) -> int:
        used = [window for window, count in self.counts.items() if count]
        return max(self.start + (max(used) + 2) * self.period - now, 0) if used else 0

    def use(self, now: int, cost: int, at: int) -> None:
        window = (at - self.start) // self.period
        if not any(self.counts.get(index) for index in (window - 1, window)):
            self.start, self.counts, window = at, {}, 0
        self.counts[window] = self.counts.get(window, 0) + cost
        self.due = at if at > now else 0

    def charge(self, now: int, cost: int) -> None:
        self.settle(now)
        window = (self.seen(now) - self.start) // self.period
        count = self.counts.get(window, 0)
        if self.due <= now and count < self.limit:
            self.use(now, min(cost, self.limit - count), now)
            self.keep(now)

    def give_back(self, now: int, cost: int) -> None:
        window = (self.seen(now) - self.start) // self.period
        for index in (window, window - 1):
            taken = min(cost, self.counts.get(index, 0))
            self.counts[index] = self.counts.get(index, 0) - taken
            cost -= taken

    def keep(self, now: int) -> None:
        super().keep(now)
        window = (self.seen(now) - self.start) // self.period
        self.start += window * self.period
        self.counts = {-1: self.counts.get(window - 1, 0), 0: self.counts.get(window, 0)}


@dataclass
class SlidingLogModel(Model):
    hits: list[tuple[int, int]] = field(default_factory=list, init=False)
    queued: bool = field(default=False, init=False)

    def forget(self) -> None:
        self.hits, self.queued = [], False

    def mend(self, now: int, *, stale: bool = False) -> None:
        left, lasts = self.expires_ms - now // 1000, self.reset(now)
        if left >= 0 and abs(left - lasts / 1000) > 5:
            self.expires_ms = now // 1000 + lasts // 1000 + 2

    def seen(self, now: int) -> int:
        return max(now, self.hits[-1][0]) if self.hits else now

    def used(self, at: int) -> int:
        return sum(cost for time, cost in self.hits if time + self.period > at)

    def is_ahead(self, now: int) -> bool:
        return self.queued and self.seen(now) > now

    def remaining(self, now: int) -> int:
        return 0 if self.is_ahead(now) else max(self.limit - self.used(self.seen(now)), 0)

    def wait(self, now: int, cost: int) -> int:
        at = self.seen(now)
        times = [at, *(time + self.period for time, _ in self.hits if time + self.period > at)]
        return next(time for time in times if self.used(time) + cost <= self.limit) - now

    def reset(self, now: int) -> int:
        return max(self.hits[-1][0] + self.period - now, 0) if self.hits else 0

    def use(self, now: int, cost: int, at: int) -> None:
        self.hits = [(time, weight) for time, weight in self.hits if time + self.period > now]
        self.hits.append((at, cost))
        self.queued = at > now

    def charge(self, now: int, cost: int) -> None:
        """It takes the place of the oldest."""
        self.settle(now)
        if self.is_ahead(now):
            return
        at, weight = self.seen(now), min(cost, self.limit)
        used = self.used(at)
        self.give_back(now, max(min(used + weight - self.limit, used), 0))
        self.use(at, weight, at)
        self.keep(now)

    def cancel(self, now: int, before: Self) -> Self:
        self.hits.pop()
        self.queued = self.seen(now) > now
        return self

    def give_back(self, now: int, cost: int) -> None:
        at = now if self.is_ahead(now) else self.seen(now)
        self.hits = [(time, weight) for time, weight in self.hits if time + self.period > at]
        while cost and self.hits:
            time, weight = self.hits.pop(0)
            if weight > cost:
                self.hits.insert(0, (time, weight - cost))
            cost -= min(cost, weight)
