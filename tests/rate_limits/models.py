"""What each kind of limit does, said again in Python: with fractions, without Redis, without care for speed.

A model answers calls at a time (us) as the scripts do: allowed, remaining, microseconds to wait (-1 for ever) and
microseconds until nothing is used. A reservation is answered with the time to wait for it, or for its refusal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor, gcd

Answer = tuple[int, int, int, int]


@dataclass
class Model(ABC):
    """A limit of so much per period (us), with the burst and the backlog where it has them."""

    limit: int
    period: int
    burst: int
    backlog: int
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
    def give_back(self, now: int, cost: int) -> None: ...

    def settle(self, now: int) -> None:
        """Forget what the server has forgotten by now."""
        if now // 1000 > self.expires_ms:
            self.forget()

    def keep(self, now: int) -> None:
        """The state was stored."""
        reset = self.reset(now)
        self.expires_ms = now // 1000 + reset // 1000 + 2 if reset else -1

    def change(self, now: int, limit: int, period: int, burst: int, backlog: int) -> Answer:
        """Another limit, and the first hit under it."""
        self.settle(now)
        self.limit, self.period, self.burst, self.backlog = limit, period, burst, backlog
        answer = self.hit(now, 1)
        if self.expires_ms >= now // 1000:
            self.keep(now)
        return answer

    def peek(self, now: int, cost: int) -> Answer:
        self.settle(now)
        if cost == 0:
            return 1, self.remaining(now), 0, self.reset(now)
        wait = -1 if cost > self.capacity else self.wait(now, cost)
        return int(wait == 0), self.remaining(now), wait, self.reset(now)

    def hit(self, now: int, cost: int) -> Answer:
        answer = self.peek(now, cost)
        if not answer[0]:
            return answer
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
        if wait < 0 or self.is_too_far(now, cost, wait) or 0 <= patience < wait:
            return 0, remaining, wait, reset
        self.use(now, cost, now + wait)
        self.keep(now)
        return 1, self.remaining(now), wait, self.reset(now)

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        """Whether the backlog forbids to wait for it."""
        return wait > -(-self.backlog // self.limit) * self.period


@dataclass
class TokenBucketModel(Model):
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

    def give_back(self, now: int, cost: int) -> None:
        self.level = min(self.level + cost, Fraction(self.burst))

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        return self.level - cost < -self.backlog


@dataclass
class GcraModel(Model):
    used: Fraction = field(default=Fraction(0), init=False)
    stamp: int = field(default=0, init=False)
    rate: Fraction = field(default=Fraction(0), init=False)

    @property
    def capacity(self) -> int:
        return self.burst

    def forget(self) -> None:
        self.used = Fraction(0)

    def settle(self, now: int) -> None:
        super().settle(now)
        share = Fraction(gcd(self.limit, self.period), self.period)
        self.used = max(self.used - (now - self.stamp) * self.rate, Fraction(0))
        self.used = min(ceil(self.used / share) * share, Fraction(self.burst + self.backlog))
        self.stamp, self.rate = now, Fraction(self.limit, self.period)

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

    def give_back(self, now: int, cost: int) -> None:
        self.used = max(self.used - cost, Fraction(0))

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        return self.used + cost - self.burst > self.backlog


@dataclass
class LeakyBucketModel(GcraModel):
    def __post_init__(self) -> None:
        self.backlog = 0

    def change(self, now: int, limit: int, period: int, burst: int, backlog: int) -> Answer:
        return super().change(now, limit, period, burst, 0)

    def reserve(self, now: int, cost: int, patience: int) -> Answer:
        _, remaining, room_in, reset = self.peek(now, cost)
        if room_in or 0 <= patience < reset:
            return 0, remaining, room_in or reset, reset
        self.use(now, cost, now)
        self.keep(now)
        return 1, self.remaining(now), reset, self.reset(now)


@dataclass
class FixedWindowModel(Model):
    """The windows by their ends (ms); only the last may lie in the future, and those before it are full."""

    count: int = field(default=0, init=False)
    queued: bool = field(default=False, init=False)

    @property
    def length(self) -> int:
        return -(-self.period // 1000)

    def forget(self) -> None:
        self.count, self.queued, self.expires_ms = 0, False, -1

    def settle(self, now: int) -> None:
        super().settle(now)
        if self.expires_ms >= 0:
            ahead = -(-self.backlog // self.limit) if self.queued else 0
            self.expires_ms = min(self.expires_ms, now // 1000 + (ahead + 1) * self.length)

    def ends(self, now: int) -> int:
        return self.expires_ms - now // 1000 if self.expires_ms >= 0 else self.length

    def is_ahead(self, now: int) -> bool:
        return self.ends(now) > self.length

    def keep(self, now: int) -> None:
        if self.count or self.is_ahead(now):
            self.expires_ms = now // 1000 + self.ends(now)
            self.queued = self.is_ahead(now)
        else:
            self.forget()

    def remaining(self, now: int) -> int:
        return 0 if self.is_ahead(now) else max(self.limit - self.count, 0)

    def wait(self, now: int, cost: int) -> int:
        if cost <= self.remaining(now):
            return 0
        turn = self.ends(now) - (self.length if self.is_ahead(now) and cost <= self.limit - self.count else 0)
        return (turn + 1) * 1000

    def reset(self, now: int) -> int:
        return (self.ends(now) + 1) * 1000 if self.expires_ms >= 0 else 0

    def use(self, now: int, cost: int, at: int) -> None:
        ends = self.ends(now)
        if at > now and cost > self.limit - self.count:
            self.count, ends = 0, ends + self.length
        self.count, self.expires_ms = self.count + cost, now // 1000 + ends

    def give_back(self, now: int, cost: int) -> None:
        self.count = max(self.count - cost, 0)
        if self.count == 0 and self.is_ahead(now):
            self.count, self.expires_ms = self.limit, self.expires_ms - self.length

    def is_too_far(self, now: int, cost: int, wait: int) -> bool:
        opened = 0 if cost <= self.limit - self.count else self.length
        return self.ends(now) + opened > (1 - (-self.backlog // self.limit)) * self.length


@dataclass
class SlidingWindowModel(Model):
    start: int = field(default=0, init=False)
    counts: dict[int, int] = field(default_factory=dict, init=False)  # by the number of the window since `start`
    due: int = field(default=0, init=False)

    def forget(self) -> None:
        self.counts, self.due = {}, 0

    def weight(self, at: int) -> int:
        """What the windows weigh together at a time, which is not before the last reservation."""
        window, into = divmod(at - self.start, self.period)
        before, count = self.counts.get(window - 1, 0), self.counts.get(window, 0)
        return count + floor(before * Fraction(self.period - into, self.period))

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

    def give_back(self, now: int, cost: int) -> None:
        at = self.seen(now)
        self.hits = [(time, weight) for time, weight in self.hits if time + self.period > at]
        while cost and self.hits:
            time, weight = self.hits.pop(0)
            if weight > cost:
                self.hits.insert(0, (time, weight - cost))
            cost -= min(cost, weight)
