"""FeatureFlags: who is in stays in, a change is seen in every process, and no copy outlives what it was made of."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from aioredis_patterns.client import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.flags import FeatureFlags, Flag
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually

PLACES = [False, False, True, False, False, True, True, False]
VARIANTS = ["c", "a", "a", "b", "b", "b", "a", "c"]
USERS = [f"user:{number}" for number in range(20_000)]


def test_a_rollout_only_grows() -> None:
    """Who is in at some percentage is in at every higher one, and each percentage takes its part of all."""
    before: set[str] = set()
    for percentage in (0, 0.5, 10, 20, 99.5, 100):
        flag = Flag(name="new-ui", percentage=percentage)
        inside = {user for user in USERS if flag.covers(user)}
        assert before <= inside
        assert abs(len(inside) - len(USERS) * percentage / 100) <= 250
        before = inside


def test_flags_divide_users_independently() -> None:
    """Of those who are in one flag, another takes its usual part; with one salt both take the same users."""
    one, other = ({user for user in USERS if Flag(name=name, percentage=50).covers(user)} for name in ("one", "two"))
    assert abs(len(one & other) - len(USERS) / 4) < 250
    salted = [{user for user in USERS if Flag(name=name, percentage=50, salt="s").covers(user)} for name in ("a", "b")]
    assert salted[0] == salted[1] != one


def test_users_have_their_place_for_ever() -> None:
    """The places of users are those of every earlier version and of every other process."""
    flag = Flag(name="new-ui", percentage=50, variants={"a": 1, "b": 1, "c": 2})
    assert [flag.covers(f"user:{number}") for number in range(8)] == PLACES
    assert [flag.variant_of(f"user:{number}") for number in range(8)] == VARIANTS


def test_variants_take_their_weight() -> None:
    """Each variant gets its share of the users, whoever is in the rollout, and one of no weight gets nobody."""
    flag = Flag(name="button", percentage=30, variants={"red": 1, "green": 3, "none": 0})
    inside = [flag.variant_of(user) for user in USERS if flag.covers(user)]
    assert abs(inside.count("green") / len(inside) - 0.75) < 0.03
    assert "none" not in inside
    assert Flag(name="plain").variant_of("user:1") is None


@pytest.fixture
def flags(redis: Redis, name: str) -> FeatureFlags:
    return FeatureFlags(redis, name)


async def test_what_is_named_changes_and_the_rest_stays(flags: FeatureFlags) -> None:
    """A flag begins as off for all, and those who set different fields at one time lose nothing of each other."""
    assert await flags.get("ui") is None
    changes: list[dict[str, Any]] = [
        {"percentage": 10},
        {"allow": ["user:1", 2]},
        {"deny": ["user:3"]},
        {"variants": {"a": 1}},
        {"groups": ["staff"]},
    ]
    await asyncio.gather(*(flags.set("ui", **change) for change in changes))
    flag = await flags.get("ui")
    assert flag == Flag(
        name="ui",
        percentage=10,
        allow=frozenset({"user:1", "2"}),
        deny=frozenset({"user:3"}),
        variants={"a": 1},
        groups=frozenset({"staff"}),
        revision=5,
    )


async def test_the_first_rule_that_fits_decides(flags: FeatureFlags) -> None:
    """Killed beats required, required beats denied, denied beats allowed, granted and grouped, and these the rest."""
    await flags.set("base")
    await flags.set("ui", allow=["ann"], groups=["staff"])
    await flags.grant("ui", "bob")

    async def said(*users: str) -> list[bool]:
        return [await flags.enabled("ui", user) for user in users]

    assert await said("ann", "bob", "cy") == [True, True, False]
    assert [await flags.enabled("ui", "cy", groups=[group]) for group in ("staff", "guests")] == [True, False]
    await flags.set("ui", deny=["ann", "bob", "cy"])
    assert await said("ann", "bob") == [False, False]
    assert not await flags.enabled("ui", "cy", groups=["staff"])
    await flags.set("ui", deny=[], percentage=100, requires=["base"])
    assert await said("ann", "cy") == [False, False]
    await flags.set("base", allow=["ann"])
    assert await said("ann", "cy") == [True, False]
    await flags.set("ui", killed=True)
    assert await said("ann", "bob") == [False, False]


class Role(str, Enum):  # noqa: UP042  # a StrEnum prints as its value
    """A text with a name, by which it prints."""

    STAFF = "staff"


async def test_a_text_of_another_class_is_its_value(redis: Redis, name: str, flags: FeatureFlags) -> None:
    """A user or a group is the text that it holds, whatever its class prints it as, when it is set and when asked."""
    await flags.set("listed", allow=[Role.STAFF])
    await flags.set("grouped", groups=[Role.STAFF])
    await flags.set("varied", percentage=100, variants={str(number): 1 for number in range(99)})
    assert [await flags.enabled("listed", user) for user in (Role.STAFF, "staff")] == [True, True]
    assert [await flags.enabled("grouped", "ann", groups=[group]) for group in (Role.STAFF, "staff")] == [True, True]
    assert await flags.variant("varied", Role.STAFF) == await flags.variant("varied", "staff")
    fresh = FeatureFlags(redis, name)
    assert await fresh.enabled("listed", Role.STAFF)
    await flags.grant("grouped", Role.STAFF)
    assert ((await flags.audit(1))[0].users, await flags.enabled("grouped", "staff")) == (("staff",), True)


async def test_nobody_and_unknown_flags_have_an_answer(flags: FeatureFlags) -> None:
    """Without a user a flag is on at 100 % only, and one that is not there is what the caller says."""
    await flags.set("ui", percentage=99.999)
    assert not await flags.enabled("ui")
    await flags.set("ui", percentage=100)
    assert [await flags.enabled("ui"), await flags.enabled("ui", 42)] == [True, True]
    assert [await flags.enabled("no"), await flags.enabled("no", "ann", default=True)] == [False, True]
    assert await flags.variant("no", "ann") is None
    assert await flags.all() == await flags.all(42) == {"ui": True}


async def test_flags_that_require_one_another_are_off(flags: FeatureFlags) -> None:
    """A circle of requirements is off, and so is what requires a flag that is not there."""
    await flags.set("a", percentage=100, requires=["b"])
    await flags.set("b", percentage=100, requires=["a"])
    await flags.set("c", percentage=100, requires=["missing"])
    assert await flags.all("ann") == {"a": False, "b": False, "c": False}


async def test_what_is_required_in_many_ways_is_asked_once(flags: FeatureFlags) -> None:
    """Flags whose requirements have requirements in common are decided as soon as others."""
    before: list[str] = []
    for level in range(30):
        for side in "ab":
            await flags.set(f"{side}{level}", percentage=100, requires=before)
        before = [f"a{level}", f"b{level}"]
    assert await asyncio.wait_for(flags.enabled("a29", "ann"), 10)
    await flags.set("b0", requires=["missing"])
    assert not await flags.enabled("a29", "ann")
    assert await flags.enabled("missing", "ann", default=True)
    assert [flag for flag, on in (await flags.all("ann")).items() if on] == ["a0"]


async def test_a_variant_is_of_one_moment(own_server: EmbeddedServer, name: str) -> None:
    """Whether a flag is on and which variant somebody has come of one read, even if the flags have changed since."""
    async with connect(own_server.url) as redis:
        flags = FeatureFlags(redis, name)
        await flags.set("ui", percentage=100, variants={"old": 1})
        assert not await flags.enabled("other", "ann")
        assert flags._copies is not None
        flags._copies.forget()
        question = asyncio.create_task(flags.variant("ui", "ann"))
        await eventually(lambda: flags._copies and flags._copies._loading is not None, every=0)
        flags._copies.forget()
        assert await question == "old"
        assert (await redis.info("commandstats"))["cmdstat_hgetall"]["calls"] == 4  # of the flags and of their bits


async def test_a_schedule_goes_by_the_clock_of_the_server(redis: Redis, flags: FeatureFlags) -> None:
    """A flag begins and ends when it was told to, in copies too, without a word of the server."""
    seconds, micros = await redis.time()
    now = datetime.fromtimestamp(seconds + micros / 1e6, UTC)
    await flags.set("ui", percentage=100, starts=now + timedelta(seconds=0.2), ends=now + timedelta(seconds=0.4))
    assert not await flags.enabled("ui", "ann")
    link_of(redis).tracking._listeners.clear()
    await eventually(lambda: is_on(flags, "ui", "ann"))
    assert await server_time(redis) >= now + timedelta(seconds=0.2)
    await eventually(lambda: is_off(flags, "ui", "ann"))
    assert await server_time(redis) >= now + timedelta(seconds=0.4)


async def server_time(redis: Redis) -> datetime:
    seconds, micros = await redis.time()
    return datetime.fromtimestamp(seconds + micros / 1e6, UTC)


async def is_on(flags: FeatureFlags, flag: str, user: str) -> bool:
    return await flags.enabled(flag, user)


async def is_off(flags: FeatureFlags, flag: str, user: str) -> bool:
    return not await flags.enabled(flag, user)


async def test_grants_are_bits(redis: Redis, name: str, flags: FeatureFlags) -> None:
    """Grants count those for whom they are new, last as long as the flag, and what nobody needs any more is gone."""
    for flag in ("one", "two"):
        await flags.set(flag)
    assert [await flags.grant("one", "ann", 7), await flags.grant("one", "ann", "bob")] == [2, 1]
    assert await flags.all("7") == await flags.all(7) == {"one": True, "two": False}
    assert [await flags.revoke("one", "ann", "zoe"), await flags.revoke("two", "ann")] == [1, 0]
    assert not await flags.enabled("one", "ann")
    assert not await redis.exists(f"arp:{{{name}}}:bits:ann")
    assert [await flags.delete("one"), await flags.delete("one")] == [True, False]
    await flags.set("one")
    assert await flags.all("bob") == {"one": False, "two": False}
    with pytest.raises(LookupError, match="no flag 'three'"):
        await flags.grant("three", "ann")


async def test_each_flag_has_a_bit(redis: Redis, name: str, flags: FeatureFlags) -> None:
    """Whoever was granted one flag was granted no other, and all flags of a user take a bit each."""
    for number in range(16):
        await flags.set(f"flag {number}")
        assert await flags.grant(f"flag {number}", "all", f"user {number}") == 2
    for number in range(16):
        granted = [flag for flag, on in (await flags.all(f"user {number}")).items() if on]
        assert granted == [f"flag {number}"]
    assert all((await flags.all("all")).values())
    assert await redis.strlen(f"arp:{{{name}}}:bits:all") <= 3


async def test_the_audit_log_tells_who_did_what(flags: FeatureFlags) -> None:
    """Every change is in the log, with how it was before and after; what changed nothing is not."""
    await flags.set("ui", percentage=10, by="{ann}|%\n")
    await flags.set("ui", percentage=20)
    await flags.grant("ui", "bob", "cy", by="dee")
    await flags.grant("ui", "bob", by="eve")
    await flags.delete("ui", by="ann")
    changes = await flags.audit()
    assert [(change.action, change.by) for change in changes] == [
        ("delete", "ann"),
        ("grant", "dee"),
        ("set", None),
        ("set", "{ann}|%\n"),
    ]
    assert [flag and flag.percentage for flag in (changes[2].before, changes[2].after)] == [10, 20]
    assert (changes[0].after, changes[1].users, changes[3].before) == (None, ("bob", "cy"), None)
    assert await flags.audit(1) == changes[:1]
    assert abs(changes[0].at - datetime.now(UTC)) < timedelta(seconds=5)


CHANGES: dict[str, Callable[[FeatureFlags], Awaitable[Any]]] = {
    "set": lambda flags: flags.set("ui", percentage=100),
    "grant": lambda flags: flags.grant("ui", "ann"),
    "kill": lambda flags: flags.set("on", killed=True),
    "delete": lambda flags: flags.delete("on"),
    "revoke": lambda flags: flags.revoke("on", "ann"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen_in_every_process(redis: Redis, url: str, name: str, change: str) -> None:
    """Answers come from the process; a change is seen at once where it was made, and soon everywhere else."""
    async with connect(url) as other:
        mine, its = FeatureFlags(redis, name), FeatureFlags(other, name)
        await mine.set("ui")
        await mine.set("on")
        await mine.grant("on", "ann")
        for flags in (mine, its):
            assert await flags.all("ann") == {"ui": False, "on": True}
            assert flags._known("ann") is not None
        await CHANGES[change](mine)
        expected = {"ui": change in ("set", "grant"), "on": change in ("set", "grant")}
        if change == "delete":
            del expected["on"]
        assert await mine.all("ann") == expected
        await eventually(lambda: says(its, expected))


async def says(flags: FeatureFlags, expected: dict[str, bool]) -> bool:
    return await flags.all("ann") == expected


async def test_a_copy_ends_with_its_age(redis: Redis, name: str) -> None:
    """Where the server's word is lost, all is read anew after max_age."""
    flags = FeatureFlags(redis, name, max_age=0.1)
    await flags.set("ui")
    await flags.grant("ui", "bob")
    assert not await flags.enabled("ui", "ann")
    link_of(redis).tracking._listeners.clear()
    await FeatureFlags(redis, name).grant("ui", "ann")
    await eventually(lambda: is_on(flags, "ui", "ann"))


async def test_copies_are_not_more_than_they_may(pipelined: Redis, name: str) -> None:
    """Answers and grants are kept for max_users, whoever asks."""
    flags = FeatureFlags(pipelined, name, max_users=10)
    await flags.set("ui")
    await flags.grant("ui", "user:7")
    for user in USERS[:50]:
        assert await flags.enabled("ui", user) == (user == "user:7")
    copies = flags._copies
    assert copies is not None
    assert copies.snapshot is not None
    assert (len(copies._bits), len(copies.snapshot.people)) == (10, 10)


async def test_many_who_ask_at_once_cost_one_read(own_server: EmbeddedServer, name: str) -> None:
    """However many ask when there is no copy, the flags are read once, also when the first to ask is cancelled."""
    async with connect(own_server.url) as redis:
        flags = FeatureFlags(redis, name)
        await flags.set("ui", percentage=100)
        first = asyncio.create_task(flags.enabled("ui", "ann"))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(flags.enabled("ui", user)) for user in USERS[:100]]
        first.cancel()
        assert all(await asyncio.gather(*rest))
        assert (await redis.info("commandstats"))["cmdstat_hgetall"]["calls"] == 2  # of the flags and of their bits


async def test_a_connection_that_is_lost_takes_its_copies_along(server: EmbeddedServer, name: str) -> None:
    """No answer is given from copies whose connection is gone; without a server there is an error."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url, deadline=1) as redis:
        flags = FeatureFlags(redis, name)
        await flags.set("ui", percentage=100)
        assert await flags.enabled("ui", "ann")
        proxy.refuse()
        await proxy.cut_all()
        await eventually(lambda: flags._known("ann") is None)
        with pytest.raises(RedisError):
            await flags.enabled("ui", "ann")
        proxy.heal()
        assert await flags.enabled("ui", "ann")


async def test_a_connection_without_a_sign_of_life_takes_its_copies_along(server: EmbeddedServer, name: str) -> None:
    """Where nothing comes through any more, copies are dropped after two times of `check`."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        flags = FeatureFlags(redis, name, check=0.1)
        await flags.set("ui", percentage=100)
        assert await flags.enabled("ui", "ann")
        assert flags._known("ann") is not None
        proxy.black_hole()
        await eventually(lambda: flags._known("ann") is None, timeout=2)


async def test_what_is_told_of_while_it_is_read_is_not_kept(pipelined: Redis, name: str) -> None:
    """Flags that change between the read and its reply answer the one who asked, and nobody else."""
    flags = FeatureFlags(pipelined, name)
    await flags.set("ui", percentage=100)
    assert await flags.enabled("ui", "ann")
    await flags.set("ui", percentage=100)
    copies = flags._copies
    assert copies is not None
    question = asyncio.create_task(flags.enabled("ui", "ann"))
    await eventually(lambda: copies._loading is not None, every=0)
    copies.told([f"arp:{{{name}}}:flags".encode()])
    assert await question
    assert (copies.snapshot, flags._known("ann")) == (None, None)


async def test_a_flush_reaches_no_caller_after_its_deadline(own_server: EmbeddedServer, name: str) -> None:
    """A process that stands still until its deadline is over has an answer all the same, or is told of that alone."""
    async with connect(own_server.url, deadline=0.3) as redis, connect(own_server.url) as other:
        await FeatureFlags(other, name).set("new-ui", percentage=100)
        await eventually(lambda: is_answered(FeatureFlags(redis, name)))
        await other.script_flush()
        call = asyncio.create_task(FeatureFlags(redis, name).enabled("new-ui", "ada"))
        lane = link_of(redis).tracking.lane
        await eventually(lambda: lane.statistics().in_flight, every=0)
        time.sleep(0.5)  # noqa: ASYNC251 - the reply and the deadline are then met in one turn of the loop
        with contextlib.suppress(RedisTimeoutError):
            assert await call


async def is_answered(flags: FeatureFlags) -> bool:
    """Whether a flag that is on is found so; the first time the connections have to be opened."""
    with contextlib.suppress(RedisError):
        return await flags.enabled("new-ui", "ada")
    return False


async def test_who_may_not_track_asks_each_time(own_server: EmbeddedServer, name: str) -> None:
    """A user whom the server tells of no changes gets right answers, and keeps no copies."""
    async with connect(own_server.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "weak", "on", "nopass", "~*", "&*", "+@all", "-client|tracking")
        async with connect(own_server.url.replace("redis://", "redis://weak:none@")) as weak:
            flags, mine = FeatureFlags(redis, name), FeatureFlags(weak, name)
            await flags.set("ui")
            await flags.grant("ui", "ann")
            assert await mine.all("ann") == {"ui": True}
            await flags.revoke("ui", "ann")
            assert await mine.all("ann") == {"ui": False}
            await flags.set("ui", percentage=100)
            assert await mine.all("ann") == {"ui": True}


async def test_a_lost_reply_changes_once(server: EmbeddedServer, name: str) -> None:
    """A change whose reply is lost raises, was made once, and is seen by the next question."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        flags = FeatureFlags(redis, name)
        await flags.set("ui")
        assert not await flags.enabled("ui", "ann")
        for change in (flags.set("ui", percentage=100), flags.grant("ui", "ann")):
            proxy.add(Fault("cut_after", writes))
            with pytest.raises(OutcomeUnknownError):
                await change
            assert await flags.enabled("ui", "ann")
        assert [change.action for change in await flags.audit()] == ["grant", "set", "set"]


def writes(command: list[bytes]) -> bool:
    """Whether it is a call of a script of three keys or more."""
    return command[0] == b"EVALSHA" and command[2] not in (b"1", b"2")


async def test_a_server_that_forgot_its_scripts_answers(redis: Redis, flags: FeatureFlags) -> None:
    """After SCRIPT FLUSH, questions and changes work as before."""
    await flags.set("ui", percentage=100)
    await redis.script_flush()
    assert await flags.enabled("ui", "ann")
    await redis.script_flush()
    assert await flags.grant("ui", "ann") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"percentage": 101},
        {"percentage": float("nan")},
        {"percentage": True},
        {"allow": "ann"},
        {"deny": [True]},
        {"variants": {"a": 0}},
        {"variants": {"a": 1.5}},
        {"requires": ["ui"]},
        {"starts": datetime(2026, 1, 1)},
        {"starts": datetime(2026, 1, 2, tzinfo=UTC), "ends": datetime(2026, 1, 1, tzinfo=UTC)},
        {"killed": 1},
        {"by": ""},
    ],
    ids=str,
)
async def test_nonsense_changes_nothing(pipelined: Redis, name: str, change: dict[str, Any]) -> None:
    """What makes no sense is refused, and the flag is not there afterwards."""
    flags = FeatureFlags(pipelined, name)
    with pytest.raises((TypeError, ValueError)):
        await flags.set("ui", **change)
    assert await flags.get("ui") is None


async def test_who_is_nobody_is_refused(pipelined: Redis, name: str) -> None:
    """Users and flags without a proper name are refused, also where a copy would know the answer."""
    flags = FeatureFlags(pipelined, name)
    await flags.set("ui", percentage=100)
    assert await flags.enabled("ui", 1)
    for user in (True, "", b"ann", 1.0):
        with pytest.raises((TypeError, ValueError)):
            await flags.enabled("ui", user)  # type: ignore[arg-type]
    for flag in ("", b"ui", None):
        with pytest.raises((TypeError, ValueError)):
            await flags.enabled(flag, "ann")  # type: ignore[arg-type]
    for wrong in (lambda: flags.grant("ui"), lambda: flags.audit(0), lambda: flags.grant("ui", "")):
        with pytest.raises(ValueError, match="must be"):
            await wrong()
    with pytest.raises(ValueError, match="max_users"):
        FeatureFlags(pipelined, name, max_users=0)


async def test_flags_work_in_a_cluster() -> None:
    """Flags of many applications are set, granted and seen in other processes, whichever node has them."""
    async with (
        embedded_cluster(masters=3, replicas=0) as cluster,
        connect(cluster.url) as redis,
        connect(cluster.url) as other,
    ):
        for number in range(5):
            mine, its = FeatureFlags(redis, f"app{number}"), FeatureFlags(other, f"app{number}")
            await mine.set("on", percentage=100)
            await mine.set("ui")
            assert await its.all("ann") == {"on": True, "ui": False}
            await mine.grant("ui", "ann", "bob")
            await eventually(lambda its=its: says(its, {"on": True, "ui": True}))
            assert [change.action for change in await its.audit()] == ["grant", "set", "set"]


@pytest.mark.parametrize("steps", range(4))
async def test_a_reading_that_somebody_cancels_is_made_again(pipelined: Redis, name: str, steps: int) -> None:
    """Whoever has cancelled every task of the event loop, the next question reads the flags anew."""
    flags = FeatureFlags(pipelined, name)
    await flags.set("new-ui", percentage=100)
    before = asyncio.all_tasks()
    asking = asyncio.create_task(flags.enabled("new-ui", "user:1"))
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([asking])
        assert await flags.enabled("new-ui", "user:1")
