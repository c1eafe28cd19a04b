"""Record: a change touches what it names and nothing else, and nothing is stored that cannot be read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from aioredis_patterns.client import connect
from aioredis_patterns.documents import Record
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import CodecError, OutcomeUnknownError, ServerUnavailableError
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually


@dataclass
class Profile:
    """Somebody."""

    name: str
    age: int | None = None
    logins: int = 5
    score: float = 0.0
    tags: list[str] = field(default_factory=list)
    photo: bytes = b""
    marks: list[int] = field(default_factory=list)
    seen: datetime | None = None


@dataclass
class Name:
    """A word."""

    text: str


class Account(BaseModel):
    """Somebody, as a model."""

    name: str = Field(alias="fullName", min_length=1)
    age: int | None = Field(default=None, ge=0)
    logins: int = Field(default_factory=lambda: 5)
    tags: list[str] = Field(default_factory=list)


class Aliased(BaseModel):
    """Somebody whose fields have other names for those who make one."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(validation_alias=AliasChoices("n", "fullName"))
    town: str = Field("", validation_alias=AliasPath("home", 0), serialization_alias="city")
    others: list[Account] = Field(default=[], alias="theirs")


ADA = Profile("Ada", None, 1, 0.5, ["a", "{b}"], b"\xff\0", [1], datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def users(redis: Redis, name: str) -> Record[Profile]:
    return Record(redis, name, Profile)


async def test_what_is_stored_comes_back(users: Record[Profile]) -> None:
    """A record comes back equal, whatever its fields are, and is gone when it was deleted."""
    assert await users.get(42) is None
    await users.set(42, ADA)
    assert await users.get("42") == ADA
    await users.set(42, Profile("Bob"))
    assert await users.get(42) == Profile("Bob")
    assert [await users.delete(42), await users.delete(42), await users.get(42)] == [True, False, None]


async def test_a_new_record_has_nothing_of_the_old_one(redis: Redis, name: str, users: Record[Profile]) -> None:
    """Storing a record takes away the fields that an older type has left in it."""
    await users.set("ada", ADA)
    await redis.hset(f"arp:{{{name}|ada}}:record", "older", "1")
    await users.set("ada", Profile("Bob"))
    assert not await redis.hexists(f"arp:{{{name}|ada}}:record", "older")


async def test_the_smallest_record_changes(redis: Redis, name: str) -> None:
    """A record of one field can be changed by what it is, and into what it is."""
    names = Record(redis, name, Name)
    await names.set("ada", Name("Ada"))
    assert await names.modify("ada", lambda old: old) == Name("Ada")
    assert await names.modify("ada", lambda old: Name(f"{old.text} L.")) == Name("Ada L.")
    assert await names.compare_and_set("ada", Name("Ada L."), Name("Ada L."))
    assert await names.get("ada") == Name("Ada L.")


async def test_models_are_records_too(redis: Redis, name: str) -> None:
    """A pydantic model comes back as it was, and what it says of a field holds for a change as well."""
    accounts = Record(redis, name, Account)
    await accounts.set("ada", Account(fullName="Ada", tags=["x"]))
    assert await accounts.update("ada", age="36", name="Ada L.")
    assert await accounts.get("ada") == Account(fullName="Ada L.", age=36, tags=["x"])
    for change in ({"age": -1}, {"name": ""}, {"tags": None}):
        with pytest.raises(CodecError, match="cannot be"):
            await accounts.update("ada", **change)
    await redis.hdel(f"arp:{{{name}|ada}}:record", "logins")
    assert await accounts.increment("ada", "logins") == 6


async def test_aliases_are_for_those_who_make_a_model(redis: Redis, name: str) -> None:
    """A model comes back whatever aliases its fields have, and one with more fields than its type has is refused."""
    people = Record(redis, name, Aliased)
    ada = Aliased(n="Ada", home=["London"], theirs=[Account(fullName="Bob")])
    await people.set("ada", ada)
    assert await people.update("ada", name="Ada L.")
    assert await people.get("ada") == ada.model_copy(update={"name": "Ada L."})
    with pytest.raises(TypeError, match="no field 'more'"):
        await people.set("ada", Aliased(n="Ada", more=1))


async def test_a_change_writes_what_it_names(redis: Redis, name: str, users: Record[Profile]) -> None:
    """A change leaves all other fields alone, those too that the type does not know, and makes no record."""
    assert not await users.update("ada", age=36)
    assert not await redis.exists(f"arp:{{{name}|ada}}:record")
    await users.set("ada", ADA)
    await redis.hset(f"arp:{{{name}|ada}}:record", mapping={"newer": "1", "score": "0.50"})
    assert await users.update("ada", age=36, name="Ada L.")
    assert await users.get("ada") == replace(ADA, age=36, name="Ada L.")
    stored = [await redis.hget(f"arp:{{{name}|ada}}:record", part) for part in ("newer", "score")]
    assert stored in (["1", "0.50"], [b"1", b"0.50"])


async def test_what_is_so_already_is_not_written(own_server: EmbeddedServer, name: str) -> None:
    """A change writes the fields that differ, and none where none does."""
    async with connect(own_server.url) as redis:
        users = Record(redis, name, Profile)
        await users.set("ada", ADA)
        assert await users.update("ada", name=ADA.name, logins=ADA.logins)
        assert await users.update("ada", name=ADA.name, logins=7)
        assert (await redis.info("commandstats"))["cmdstat_hset"]["calls"] == 1 + 1
        assert await users.get("ada") == replace(ADA, logins=7)


async def test_changes_of_different_fields_all_last(users: Record[Profile]) -> None:
    """Of changes that are made at one time to different fields none is lost."""
    await users.set("ada", Profile("Ada", logins=0))
    changes = [users.update("ada", age=36), users.update("ada", tags=["x"]), users.update("ada", name="A")]
    await asyncio.gather(*changes, *(users.increment("ada", "logins", 2) for _ in range(50)))
    assert await users.get("ada") == Profile("A", 36, 100, tags=["x"])


async def test_none_is_not_missing(redis: Redis, name: str, users: Record[Profile]) -> None:
    """None is stored as None; what is not stored has its default, and without one it is an error."""
    key = f"arp:{{{name}|ada}}:record"
    await users.set("ada", replace(ADA, age=None))
    assert await redis.hget(key, "age") in ("null", b"null")
    await redis.hdel(key, "age", "logins")
    assert await users.get("ada") == replace(ADA, age=None, logins=5)
    await redis.hdel(key, "name")
    with pytest.raises(CodecError, match="no field 'name'"):
        await users.get("ada")


async def test_counters_count(redis: Redis, name: str, users: Record[Profile]) -> None:
    """A number that is not stored begins at its default, None cannot be counted, and no record is made."""
    assert await users.increment("ada", "logins") is None
    await users.set("ada", ADA)
    await redis.hdel(f"arp:{{{name}|ada}}:record", "logins")
    assert [await users.increment("ada", "logins"), await users.increment("ada", "logins", -2)] == [6, 4]
    assert [await users.increment("ada", "score", 1), await users.increment("ada", "score", 0.25)] == [1.5, 1.75]
    for _ in range(2):
        with pytest.raises(CodecError, match="is None, to which"):
            await users.increment("ada", "age")
        await redis.hdel(f"arp:{{{name}|ada}}:record", "age")
    await users.update("ada", logins=2**63 - 1)
    with pytest.raises(ResponseError):
        await users.increment("ada", "logins")
    assert await users.get("ada") == replace(ADA, logins=2**63 - 1, score=1.75)


class Measured(float):
    """A number that prints as a call, as those of numpy do."""

    def __repr__(self) -> str:
        return f"measured({float(self)})"


class Step(int, Enum):
    """A number with a name, by which it prints."""

    LARGE = 3


async def test_a_number_of_another_class_is_its_value(users: Record[Profile]) -> None:
    """What is added is what it is worth, whatever its class prints it as."""
    await users.set("ada", ADA)
    assert await users.increment("ada", "score", Measured(1.5)) == ADA.score + 1.5
    assert await users.increment("ada", "logins", Step.LARGE) == ADA.logins + 3


async def test_a_change_by_what_there_is_loses_nothing(users: Record[Profile]) -> None:
    """However many change a record by what it is, each change is made once, on what is there then."""
    await users.set("ada", Profile("Ada", 0))

    async def grow() -> None:
        grown = await users.modify("ada", lambda user: replace(user, age=(user.age or 0) + 1))
        assert grown is not None

    await asyncio.gather(*(grow() for _ in range(25)), *(users.increment("ada", "logins") for _ in range(10)))
    assert await users.get("ada") == Profile("Ada", 25, 15)
    assert await users.modify("bob", lambda user: user) is None


async def test_a_field_that_appears_meanwhile_is_seen(url: str, pipelined: Redis, name: str) -> None:
    """A change by what there is is made anew when a field was stored that was not there before."""
    users, key, seen = Record(pipelined, name, Profile), f"arp:{{{name}|ada}}:record", []

    def change(user: Profile) -> Profile:
        seen.append(user.logins)
        with SyncRedis.from_url(url) as another:
            another.hset(key, "logins", "9")
        return replace(user, age=1)

    await users.set("ada", Profile("Ada"))
    await pipelined.hdel(key, "logins")
    assert await users.modify("ada", change) == Profile("Ada", 1, 9)
    assert (await users.get("ada"), seen) == (Profile("Ada", 1, 9), [5, 9])


async def test_compare_and_set_sees_every_field(users: Record[Profile]) -> None:
    """A record is replaced only while it is in every field what the caller says."""
    await users.set("ada", ADA)
    await users.increment("ada", "logins")
    new = replace(ADA, age=1)
    assert not await users.compare_and_set("ada", ADA, new)
    assert await users.compare_and_set("ada", replace(ADA, logins=2), new)
    assert await users.get("ada") == new
    assert not await users.compare_and_set("bob", ADA, new)


async def test_changes_keep_the_life_of_a_record(redis: Redis, name: str) -> None:
    """A record lives from its last set; no change prolongs or ends that."""
    users, key = Record(redis, name, Profile, ttl=60), f"arp:{{{name}|ada}}:record"
    await users.set("ada", ADA)
    assert 59_000 < await redis.pttl(key) <= 60_000
    await redis.pexpire(key, 30_000)
    await users.update("ada", age=1)
    await users.increment("ada", "logins")
    await users.modify("ada", lambda user: replace(user, age=2))
    assert 29_000 < await redis.pttl(key) <= 30_000
    await users.set("ada", ADA)
    assert await redis.pttl(key) > 59_000


async def test_fields_expire_where_the_server_has_it(redis: Redis, name: str, users: Record[Profile]) -> None:
    """A field has its default again after its time, or an error tells that the server is too old."""
    await users.set("ada", replace(ADA, logins=9))
    with pytest.raises(ValueError, match="default"):
        await users.expire_field("ada", "name", 1)
    if not await knows(redis, "hpexpire"):
        with pytest.raises(ServerUnavailableError, match=r"Redis 7\.4"):
            await users.expire_field("ada", "logins", 0.05)
        return
    assert [await users.expire_field("ada", "logins", 0.05), await users.expire_field("bob", "age", 1)] == [True, False]
    await eventually(lambda: has(users, replace(ADA, logins=5)))


async def test_a_field_that_has_expired_holds_up_no_change(pipelined: Redis, users: Record[Profile]) -> None:
    """A record is changed at the first try though the server still counts a field whose time has passed."""
    if not await knows(pipelined, "hpexpire"):
        return
    calls: list[Profile] = []

    def older(profile: Profile) -> Profile:
        calls.append(profile)
        return replace(profile, age=len(calls))

    for number in range(1, 6):
        await users.set("ada", replace(ADA, logins=9))
        assert await users.expire_field("ada", "logins", 0.02)
        await eventually(lambda: has(users, replace(ADA, logins=5)), every=0.001)
        assert await users.modify("ada", older) == replace(ADA, logins=5, age=number)
        assert await users.compare_and_set("ada", replace(ADA, logins=5, age=number), ADA)
    assert len(calls) == 5


async def knows(redis: Redis, command: str) -> bool:
    return command in await redis.command()


async def has(users: Record[Profile], expected: Profile) -> bool:
    return await users.get("ada") == expected


async def test_a_lost_reply_counts_once(server: EmbeddedServer, name: str) -> None:
    """A change whose reply is lost raises, and was made once."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        users = Record(redis, name, Profile)
        await users.set("ada", Profile("Ada", logins=0))
        for call in (users.increment("ada", "logins"), users.update("ada", age=1)):
            proxy.add(Fault("cut_after", "EVALSHA"))
            with pytest.raises(OutcomeUnknownError):
                await call
        assert await users.get("ada") == Profile("Ada", 1, 1)


async def test_nobody_has_no_record(pipelined: Redis, name: str) -> None:
    """None is no key: whoever has none would have the same record as all others who have none."""
    users = Record(pipelined, name, Profile)
    nobody: Any = None
    for call in (
        lambda: users.get(nobody),
        lambda: users.set(nobody, ADA),
        lambda: users.update(nobody, age=1),
        lambda: users.increment(nobody, "logins"),
        lambda: users.delete(nobody),
    ):
        with pytest.raises(TypeError, match="key must be"):
            await call()


@pytest.mark.parametrize(
    "change", [{"age": "old"}, {"age": 1.5}, {"name": None}, {"score": float("nan")}, {"tags": [1]}, {"no": 1}], ids=str
)
async def test_what_could_not_be_read_is_not_stored(users: Record[Profile], change: dict[str, Any]) -> None:
    """A value of another type than its field's is refused, in a change and in a whole record, and changes nothing."""
    await users.set("ada", ADA)
    with pytest.raises((CodecError, TypeError)):
        await users.update("ada", logins=7, **change)
    with pytest.raises((CodecError, TypeError)):
        await users.set("ada", replace(ADA, **change))
    assert await users.get("ada") == ADA


async def test_nonsense_is_refused(pipelined: Redis, name: str) -> None:
    """Types without fields, numbers that are none and lives that make no sense are refused before anything is sent."""
    for type_ in (dict, int, dataclass(type("Empty", (), {}))):
        with pytest.raises(TypeError):
            Record(pipelined, name, type_)
    with pytest.raises(ValueError, match="ttl"):
        Record(pipelined, name, Profile, ttl=0)
    users = Record(pipelined, name, Profile)
    with pytest.raises(TypeError, match="cannot be"):
        await users.set("ada", {"name": "Ada"})  # type: ignore[arg-type]
    for wrong, by in (
        ("name", 1),
        ("marks", 1),
        ("logins", 1.5),
        ("logins", True),
        ("no", 1),
        ("score", float("inf")),
        ("age", 2**54),
    ):
        with pytest.raises((TypeError, ValueError)):
            await users.increment("ada", wrong, by)


async def test_records_work_in_a_cluster() -> None:
    """Records lie on all nodes, and each is changed where it lies."""
    async with embedded_cluster(masters=3, replicas=0) as cluster, connect(cluster.url) as redis:
        users = Record(redis, "user", Profile)
        for key in range(10):
            await users.set(key, Profile(f"user {key}"))
            assert await users.update(key, age=key)
            await users.increment(key, "logins", key)
        assert [await users.get(key) for key in range(10)] == [
            Profile(f"user {key}", key, 5 + key) for key in range(10)
        ]
