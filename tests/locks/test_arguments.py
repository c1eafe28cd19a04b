"""What makes no sense is refused by every class of the room, before anything is sent: no server is there to ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.errors import TransportError
from aioredis_patterns.locks import (
    Barrier,
    FairLock,
    FenceGuard,
    Latch,
    LeaderElection,
    Lock,
    MultiLock,
    ReadWriteLock,
    Redlock,
    ReentrantLock,
    Semaphore,
)

Make = Callable[..., Any]

CLASSES: dict[str, Make] = {
    "Lock": Lock,
    "FairLock": FairLock,
    "ReentrantLock": ReentrantLock,
    "ReadWriteLock": ReadWriteLock,
    "Semaphore": Semaphore,
    "MultiLock": lambda redis, name, **options: MultiLock(redis, [name], **options),
    "MultiLock, second name": lambda redis, name, **options: MultiLock(redis, ["first", name], **options),
    "Redlock": lambda redis, name, **options: Redlock([redis], name, **options),
    "Latch": lambda redis, name, **options: Latch(redis, name, **{"count": 2, **options}),
    "Barrier": lambda redis, name, **options: Barrier(redis, name, **{"parties": 2, **options}),
    "LeaderElection": LeaderElection,
    "FenceGuard": FenceGuard,
}
HELD = ("Lock", "FairLock", "ReentrantLock", "ReadWriteLock", "Semaphore", "MultiLock", "Redlock")
"""Those that give a lease."""

LEASED = (*HELD, "Barrier", "LeaderElection")
WAITED_FOR = (*HELD, "Latch", "Barrier")
REMEMBERED = ("Latch", "Barrier", "FenceGuard")
IN_LINE = ("FairLock", "ReadWriteLock")

NO_LEASES = [0, -1, 0.0004, float("nan"), float("inf"), 10**12, "10", None, True, timedelta(0)]
NO_TIMEOUTS = [-1, -0.001, float("nan"), float("inf"), 10**12, "10", True]
NO_NUMBERS = [0, -1, 10_001, 10**12, float("nan"), 1.0, "1", None, True]


def refuses(make: Callable[[], object], *said: str) -> None:
    """It is an error of the caller's, which names the argument."""
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    assert any(word in str(caught.value) for word in said), caught.value


@pytest.mark.parametrize("name", ["", b"bytes", "x" * 513, "%" * 171, "\ud800", None, 7])
def test_a_name(name: Any) -> None:
    """Names are text of 1 to 512 characters once escaped, for every class."""
    for make in CLASSES.values():
        refuses(lambda: make(Redis(), name), "name")  # noqa: B023


def test_a_prefix() -> None:
    """A prefix is a name too."""
    for make in CLASSES.values():
        for prefix in ("", b"arp", None, "x" * 513):
            refuses(lambda: make(Redis(), "name", prefix=prefix), "prefix")  # noqa: B023


@pytest.mark.parametrize("kind", CLASSES)
def test_an_option_that_there_is_not(kind: str) -> None:
    """An unknown option is refused, not ignored."""
    refuses(lambda: CLASSES[kind](Redis(), "name", leese=10), "leese")


@pytest.mark.parametrize("kind", LEASED)
def test_a_lease(kind: str) -> None:
    """A lease is 1 ms to 10 years, for every class that has one."""
    for lease in NO_LEASES:
        refuses(lambda: CLASSES[kind](Redis(), "name", lease=lease), "lease")  # noqa: B023


@pytest.mark.parametrize("kind", WAITED_FOR)
def test_a_timeout(kind: str) -> None:
    """A timeout is 0 to 10 years, or None, for every class that can be waited for."""
    for timeout in NO_TIMEOUTS:
        refuses(lambda: CLASSES[kind](Redis(), "name", timeout=timeout), "timeout")  # noqa: B023


@pytest.mark.parametrize("kind", HELD)
def test_what_holds_have_in_common(kind: str) -> None:
    """`max_hold`, `on_lost` and `renew` have to make sense wherever there are leases."""
    for max_hold in [value for value in NO_LEASES if value is not None]:
        refuses(lambda: CLASSES[kind](Redis(), "name", max_hold=max_hold), "max_hold")  # noqa: B023
    for on_lost in ("explode", None, 7):
        refuses(lambda: CLASSES[kind](Redis(), "name", on_lost=on_lost), "on_lost")  # noqa: B023


@pytest.mark.parametrize("kind", [*HELD, "LeaderElection"])
def test_a_callback(kind: str) -> None:
    """What is called back is a function, and none that would have to be awaited: nobody would."""

    async def too_late(_: object) -> None: ...

    for option in ("on_elected", "on_deposed") if kind == "LeaderElection" else ("on_lost",):
        for callback in ("nonsense", 7, too_late):
            refuses(lambda: CLASSES[kind](Redis(), "name", **{option: callback}), option)  # noqa: B023


@pytest.mark.parametrize("kind", [*REMEMBERED, *IN_LINE])
def test_another_duration(kind: str) -> None:
    """`ttl` and `heartbeat` are checked as leases are."""
    option = "ttl" if kind in REMEMBERED else "heartbeat"
    for value in NO_LEASES:
        refuses(lambda: CLASSES[kind](Redis(), "name", **{option: value}), option)  # noqa: B023


@pytest.mark.parametrize(("kind", "option"), [("Semaphore", "permits"), ("Latch", "count"), ("Barrier", "parties")])
def test_a_number(kind: str, option: str) -> None:
    """A number of permits or parties is an int, 1 to 10,000."""
    for number in NO_NUMBERS:
        refuses(lambda: CLASSES[kind](Redis(), "name", **{option: number}), option)  # noqa: B023


@pytest.mark.parametrize("option", [{"min_hold": -1}, {"min_hold": float("nan")}, {"min_hold": None}])
def test_a_minimum_hold(option: dict[str, Any]) -> None:
    """`min_hold` is 0 to 10 years."""
    refuses(lambda: Lock(Redis(), "name", **option), "min_hold")


WAITS: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(HELD, lambda lock, timeout: lock.acquire(timeout)),
    "ReadWriteLock": lambda lock, timeout: lock.read().acquire(timeout),
    "Latch": lambda latch, timeout: latch.wait(timeout),
    "Barrier": lambda barrier, timeout: barrier.wait(timeout),
    "LeaderElection": lambda election, timeout: election.elected(timeout),
}


@pytest.mark.parametrize("kind", WAITS)
async def test_a_timeout_of_one_call(kind: str) -> None:
    """What a call says is checked as what the definition says."""
    for timeout in NO_TIMEOUTS:
        with pytest.raises((ValueError, TypeError), match="timeout"):
            await WAITS[kind](CLASSES[kind](Redis(), "name"), timeout)


@pytest.mark.parametrize("kind", [*HELD, "Latch", "Barrier", "LeaderElection", "FenceGuard"])
async def test_no_client(kind: str) -> None:
    """What is no client of redis-py's asyncio is named when it is defined or used."""
    calls: dict[str, Callable[[Any], Any]] = {
        **WAITS,
        "LeaderElection": lambda election: election.__aenter__(),
        "FenceGuard": lambda guard: guard.run(1, "return 1"),
    }
    with pytest.raises((TransportError, TypeError), match=r"redis\.asyncio"):
        arguments = [CLASSES[kind]("redis://localhost", "name"), 1]
        await calls[kind](*arguments[: 2 if kind in WAITED_FOR else 1])


@pytest.mark.parametrize("lease", [value for value in NO_LEASES if value is not None])
async def test_another_length_of_a_lease(pipelined: Redis, name: str, lease: Any) -> None:
    """`extend` refuses a length that makes no sense, and leaves the lease as it is."""
    held = await Lock(pipelined, name, lease=5).acquire()
    with pytest.raises((ValueError, TypeError), match="lease"):
        await held.extend(lease)
    assert 4 < held.valid_for <= 5
    assert await held.release()


async def test_a_count_of_permits() -> None:
    """How many permits a call wants, and how many there are to be, is an int of 1 to 10,000."""
    semaphore = Semaphore(Redis(), "name")
    for number in NO_NUMBERS:
        for call in (semaphore.acquire, semaphore.try_acquire):
            with pytest.raises((ValueError, TypeError), match="count"):
                await call(count=number)  # type: ignore[arg-type]
        with pytest.raises((ValueError, TypeError), match="permits"):
            await semaphore.resize(number)  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", ["{braces}", "nul\0", "line\r\nbreak", "glob*?[a]", "a}b{c"])
async def test_odd_names_of_offices_and_guards(pipelined: Redis, name: str, odd: str) -> None:
    """Names of any characters work, and touch nothing else."""
    async with LeaderElection(pipelined, name + odd) as election:
        term = await election.elected(timeout=5)
        assert await LeaderElection(pipelined, name).leader() is None
    await FenceGuard(pipelined, name + odd, ttl=10).run(term, "return 1")
    assert await FenceGuard(pipelined, name, ttl=10).run(1, "return KEYS[1]", ["any"]) == b"any"
