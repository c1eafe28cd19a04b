"""SessionStore: a session lives as long as it should, and nothing brings it back afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.codecs import codec_for
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import CodecError, OutcomeUnknownError, SessionConflictError
from aioredis_patterns.events import PayloadUndecodable, SessionTokenReused
from aioredis_patterns.sessions import Session, SessionStore
from tests.support.faults import Fault, FaultProxy
from tests.support.waiting import eventually

DATA = {"cart": ["tea", {"n": 2}], "none": None, "zero": 0, "bytes": b"\xff\0", "{|}%:": "odd name"}
USERS: list[Any] = ["user:42", 42, "{a}|b%:", "Ünïcode\r\n", "ü" * 512, None]


@pytest.fixture
def store(redis: Redis, name: str) -> SessionStore:
    return SessionStore(redis, name)


async def keys_of(redis: Redis, name: str) -> list[Any]:
    """What there is in Redis of a store."""
    return [key async for key in redis.scan_iter(f"arp:{{{name}|*", count=1000)]


async def keys_of_sessions(redis: Redis, name: str) -> list[Any]:
    """The keys of its sessions alone."""
    return [key async for key in redis.scan_iter(f"arp:{{{name}|*:session:*", count=1000)]


@pytest.mark.parametrize("user", USERS)
async def test_a_session_comes_back(store: SessionStore, user: Any) -> None:
    """What a session was created with is there when it is loaded, for any user and for none."""
    session = await store.create(user, DATA)
    loaded = await store.load(session.token)
    assert loaded is not None
    for one in (session, loaded):
        assert dict(one) == DATA
        assert one.user_id == (None if user is None else str(user))
        assert (one.authenticated_at is None) == (user is None)
        assert one.ends_at - one.created_at == timedelta(seconds=86_400)
    assert (loaded.token, loaded.public_id, loaded.created_at) == (session.token, session.public_id, session.created_at)


async def test_a_session_of_many_fields_comes_back(store: SessionStore) -> None:
    """Wherever Redis has the head among hundreds of fields, the session is found."""
    data = {f"field {number}": number for number in range(300)}
    for _ in range(8):
        loaded = await store.load((await store.create("ada", data)).token)
        assert loaded is not None
        assert dict(loaded) == data


async def test_only_changes_are_written(redis: Redis, store: SessionStore) -> None:
    """What was changed, removed or changed inside is saved, and a session without changes is not sent."""
    session = await store.create("ada", {"cart": ["tea"], "old": 1, "same": 2})
    session["cart"].append("milk")
    session["new"] = None
    del session["old"]
    assert await store.save(session)
    loaded = await store.load(session.token)
    assert loaded is not None
    assert dict(loaded) == {"cart": ["tea", "milk"], "same": 2, "new": None}
    before = await commands(redis)
    assert await store.save(loaded)
    assert await commands(redis) == before


async def test_two_requests_lose_nothing_of_each_other(store: SessionStore) -> None:
    """Of two requests that change different fields both changes stay, and what one removed stays removed."""
    token = (await store.create("ada", {"kept": 0, "removed": 1})).token
    one, two = await store.load(token), await store.load(token)
    assert one is not None
    assert two is not None
    one["first"] = 1
    del one["removed"]
    two["second"] = 2
    assert await store.save(one)
    assert await store.save(two)
    loaded = await store.load(token)
    assert loaded is not None
    assert dict(loaded) == {"kept": 0, "first": 1, "second": 2}


async def test_a_versioned_store_refuses_what_crossed(redis: Redis, name: str) -> None:
    """Of two requests that change a session of a versioned store the later is told, and may load and save again."""
    store = SessionStore(redis, name, versioned=True)
    token = (await store.create("ada", {"n": 0})).token
    one, two = await store.load(token), await store.load(token)
    assert one is not None
    assert two is not None
    one["n"], two["m"] = 1, 2
    assert await store.save(one)
    with pytest.raises(SessionConflictError):
        await store.save(two)
    one["n"] = 3
    assert await store.save(one)
    again = await store.load(token)
    assert again is not None
    assert dict(again) == {"n": 3}


@pytest.mark.parametrize("user", ["ada", None])
async def test_what_was_revoked_stays_so(redis: Redis, name: str, store: SessionStore, user: str | None) -> None:
    """A session that was revoked is not found, and no late save, rotation or second end makes it one."""
    session = await store.create(user, {"n": 1})
    late = await store.load(session.token)
    assert late is not None
    assert await store.revoke(session.token)
    late["n"] = 2
    assert not await store.save(late)
    with pytest.raises(SessionConflictError):
        await store.rotate(late)
    assert await store.load(session.token) is None
    assert not await store.revoke(session)
    if user is not None:
        assert await store.list(user) == ()
    assert [key for key in await keys_of(redis, name) if await redis.pttl(key) < 0] == []


MALFORMED: list[Any] = ["", "x", "A" * 44, "A" * 46, "A" * 44 + "=", "A" * 44 + "\n", "Ä" * 45, b"A" * 45, None, 7]


@pytest.mark.parametrize("token", MALFORMED)
async def test_a_malformed_token_is_not_asked_for(redis: Redis, store: SessionStore, token: Any) -> None:
    """What has not the form of a token is no session, and Redis is not asked."""
    before = await commands(redis)
    assert await store.load(token) is None
    assert await store.revoke(token) is False
    assert await commands(redis) == before


async def test_an_unknown_token_is_never_adopted(redis: Redis, name: str, store: SessionStore) -> None:
    """A token that the store did not give is no session, and leaves no key."""
    assert await store.load("A" * 45) is None
    assert not await store.revoke("A" * 45)
    assert await keys_of(redis, name) == []


async def test_idle_and_lifetime(pipelined: Redis, name: str) -> None:
    """A session that is used lives on, and no longer than its lifetime."""
    store = SessionStore(pipelined, name, idle=1.5, lifetime=3.5)
    session, idle = await store.create("ada"), await store.create("ada")
    while await store.load(session.token) is not None:  # noqa: ASYNC110  # the state is the server's
        await asyncio.sleep(0.05)
    lived = await _now(pipelined) - session.created_at
    assert timedelta(seconds=3.49) < lived < timedelta(seconds=6)
    assert await store.load(idle.token) is None
    assert await store.list("ada") == ()


async def test_times_are_the_servers(pipelined: Redis, store: SessionStore) -> None:
    """A session begins when the server made it, by the server's clock."""
    before = await _now(pipelined)
    session = await store.create("ada")
    assert before <= session.created_at <= await _now(pipelined)
    assert session.authenticated_at == session.created_at


async def _now(redis: Redis) -> datetime:
    seconds, microseconds = await redis.time()
    return datetime.fromtimestamp((seconds * 1_000_000 + microseconds) / 1_000_000, UTC)


async def test_what_is_known_of_a_user_lives_as_long_as_his_sessions(redis: Redis, name: str) -> None:
    """The epochs and the index of a user leave Redis with his last session, neither sooner nor later."""
    store = SessionStore(redis, name, idle=100_000, lifetime=1_000_000)
    session = await store.create("ada")
    await SessionStore(redis, name, lifetime=1000).create("ada")
    for _ in range(2):
        keys = set(await keys_of(redis, name)) - set(await keys_of_sessions(redis, name))
        lives = [await redis.pttl(key) for key in keys]
        assert len(lives) == 2
        assert all(999_950_000 < life <= 1_000_000_001 for life in lives)
        session = await store.rotate(session)


@pytest.mark.parametrize(("idle", "lifetime"), [(100, 1000), (1000, 100)])
async def test_a_session_that_nobody_uses_ends(redis: Redis, name: str, idle: int, lifetime: int) -> None:
    """A session that is never loaded ends when it was idle for long enough, or with its lifetime."""
    await SessionStore(redis, name, idle=idle, lifetime=lifetime).create("ada")
    (key,) = await keys_of_sessions(redis, name)
    assert 40_000 < await redis.pttl(key) <= 100_000


async def test_a_load_writes_seldom(redis: Redis, name: str, store: SessionStore) -> None:
    """A session is prolonged once a tenth of its idle time has passed, and a key without a life gets one."""
    session = await store.create("ada")
    (key,) = await keys_of_sessions(redis, name)
    for before, after in ((1_700_000, 1_700_000), (1_600_000, 1_800_000), (-1, 1_800_000)):
        await (redis.persist(key) if before < 0 else redis.pexpire(key, before))
        assert await store.load(session.token)
        assert after - 5000 < await redis.pttl(key) <= after


async def test_near_its_end_a_load_writes_no_oftener(redis: Redis, name: str) -> None:
    """A session that has less than its idle time left is prolonged to its end, once."""
    store = SessionStore(redis, name, idle=10_000_000, lifetime=1_000_000)
    session = await store.create("ada")
    (key,) = await keys_of_sessions(redis, name)
    created = await redis.hget(key, "head")
    assert await store.load(session.token)
    assert await redis.hget(key, "head") == created
    await redis.pexpire(key, 60_000)
    assert await store.load(session.token)
    assert await redis.hget(key, "head") != created
    assert 999_940_000 < await redis.pttl(key) <= 1_000_000_000


async def let_end(redis: Redis, name: str, session: Session) -> None:
    """Set the end of a session back to 1970, and take the expiry of its key away."""
    (key,) = await keys_of_sessions(redis, name)
    await redis.hset(key, "head", session._head[:80] + b"%016d" % 1 + session._head[96:])
    await redis.persist(key)


async def test_a_session_ends_when_it_should_even_without_an_expiry(
    redis: Redis, name: str, store: SessionStore
) -> None:
    """A session whose key lost its expiry is none any more when its lifetime is over, and leaves nothing."""
    session = await store.create(None)
    await let_end(redis, name, session)
    assert await store.load(session.token) is None
    assert await keys_of(redis, name) == []


async def test_a_session_past_its_end_is_not_rotated(redis: Redis, name: str, store: SessionStore) -> None:
    """A session whose key lost its expiry gets no new token when its lifetime is over, and leaves nothing."""
    session = await store.create(None)
    await let_end(redis, name, session)
    with pytest.raises(SessionConflictError):
        await store.rotate(session)
    assert await keys_of(redis, name) == []


async def test_rotation_keeps_the_session(store: SessionStore) -> None:
    """A rotated session has another token, the same data, end and name, and is saved as before."""
    session = await store.create("ada", {"n": 1})
    new = await store.rotate(session)
    assert new.token != session.token
    assert (dict(new), new.ends_at, new.public_id) == ({"n": 1}, session.ends_at, session.public_id)
    assert new.authenticated_at == session.authenticated_at
    new["n"] = 2
    assert await store.save(new)
    loaded = await store.load(new.token)
    assert loaded is not None
    assert loaded["n"] == 2
    assert [info.public_id for info in await store.list("ada")] == [session.public_id]


async def test_rotation_ends_no_later(redis: Redis, name: str) -> None:
    """Whatever the idle time, what a rotation makes leaves Redis with the session's own end."""
    store = SessionStore(redis, name, idle=3_600_000, lifetime=100_000)
    new = await store.rotate(await store.create("ada"))
    lives = [await redis.pttl(key) for key in await redis.keys(f"arp:*{name}*:session:*")]
    assert len(lives) == 2
    assert all(99_950_000 < life <= 100_000_001 for life in lives)
    assert await store.load(new.token) is not None


async def test_a_rotation_is_a_use(redis: Redis, name: str, store: SessionStore) -> None:
    """A session that is rotated lives on, as by a load."""
    session = await store.create("ada")
    (key,) = await keys_of_sessions(redis, name)
    await redis.pexpire(key, 60_000)
    await store.rotate(session)
    (key,) = [key for key in await keys_of_sessions(redis, name) if await redis.hexists(key, "head")]
    assert 1_790_000 < await redis.pttl(key) <= 1_800_000


async def test_an_old_token_is_good_for_a_while(redis: Redis, name: str, store: SessionStore) -> None:
    """A request on its way with the old token reads and saves the session, and neither prolongs nor rotates it."""
    old = await store.create("ada", {"n": 1})
    new = await store.rotate(await store.rotate(old))
    for key in await keys_of_sessions(redis, name):
        if await redis.hexists(key, "head"):
            await redis.pexpire(key, 60_000)
    late = await store.load(old.token)
    assert late is not None
    late["n"] = 2
    assert await store.save(late)
    keys = [key for key in await keys_of_sessions(redis, name) if await redis.hexists(key, "head")]
    assert [0 < await redis.pttl(key) <= 60_000 for key in keys] == [True]
    with pytest.raises(SessionConflictError):
        await store.rotate(late)
    loaded = await store.load(new.token)
    assert loaded is not None
    assert loaded["n"] == 2


async def test_the_grace_is_as_long_as_was_said(pipelined: Redis, name: str) -> None:
    """The old token of a rotated session is good until the grace has passed since its rotation, to the microsecond."""
    store = SessionStore(pipelined, name, grace=100)
    await store.rotate(await store.create("ada"))
    heads, graces = [
        [value for key in await keys_of_sessions(pipelined, name) if (value := await pipelined.hget(key, field))]
        for field in ("head", "grace")
    ]
    assert [int(grace) - int(head[32:48]) for head, grace in zip(heads, graces, strict=True)] == [100_000_000]


async def test_a_save_follows_a_rotation(store: SessionStore) -> None:
    """What was loaded before a rotation is saved in what the session became, until that ends."""
    late = await store.create("ada", {"n": 1})
    new = await store.rotate(await store.rotate(late))
    new["m"], late["n"] = 1, 2
    assert await store.save(new)
    assert await store.save(late)
    assert dict((await store.load(new.token)) or {}) == {"n": 2, "m": 1}
    assert await store.revoke(new)
    late["n"] = 3
    assert not await store.save(late)


async def test_no_save_follows_after_the_grace(redis: Redis, name: str) -> None:
    """What was loaded with a token that is good no more is not saved in what the session became."""
    store = SessionStore(redis, name, grace=0)
    late = await store.create("ada", {"n": 1})
    new = await store.rotate(late)
    late["n"] = 2
    assert not await store.save(late)
    assert dict((await store.load(new.token)) or {}) == {"n": 1}


@pytest.mark.parametrize("on_reuse", ["report", "revoke"])
async def test_a_token_used_long_after_its_rotation(redis: Redis, name: str, on_reuse: Any) -> None:
    """A token that is used after its grace is no session, is told of, and ends what was made of it when so wished."""
    events: list[Any] = []
    store = SessionStore(redis, name, grace=0, on_reuse=on_reuse, on_event=events.append)
    old = await store.create("ada")
    new = await store.rotate(await store.rotate(old))
    assert await store.load(old.token) is None
    outcome: Any = "revoked" if on_reuse == "revoke" else "reported"
    assert events == [SessionTokenReused(name=name, outcome=outcome)]
    assert await SessionStore(redis, name).load(old.token) is None
    assert (await store.load(new.token) is None) == (on_reuse == "revoke")


async def test_of_two_rotations_one_wins(store: SessionStore) -> None:
    """Of many rotations of one token at a time exactly one gives a session, and the others are told."""
    session = await store.create("ada")
    outcomes = await asyncio.gather(*(store.rotate(session) for _ in range(20)), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Session)]
    assert len(won) == 1
    assert all(isinstance(outcome, SessionConflictError) for outcome in outcomes if outcome is not won[0])
    assert len(await store.list("ada")) == 1


async def test_a_login_carries_over(store: SessionStore) -> None:
    """A login begins a session of the user with what the anonymous one held, under another token, and ends that."""
    anonymous = await store.create(None, {"cart": ["tea"]})
    session = await store.login(anonymous, "ada")
    assert (dict(session), session.user_id) == ({"cart": ["tea"]}, "ada")
    assert session.token != anonymous.token
    assert await store.load(anonymous.token) is None
    assert (await store.login(None, "bob")).user_id == "bob"


async def test_freshness(store: SessionStore) -> None:
    """When a user showed who he is is told, and told anew by a verified rotation."""
    anonymous, session = await store.create(None), await store.create("ada")
    assert not anonymous.authenticated_within(3600)
    assert session.authenticated_within(3600)
    assert not session.authenticated_within(-3600)
    before = session.authenticated_at
    verified = await store.rotate(session, verified=True)
    assert before is not None
    assert verified.authenticated_at is not None
    assert verified.authenticated_at > before
    assert verified.created_at == session.created_at
    loaded = await store.load(verified.token)
    assert loaded is not None
    assert loaded.authenticated_at == verified.authenticated_at


async def test_who_ends_a_session_forgets_it(redis: Redis, name: str, store: SessionStore) -> None:
    """What was revoked is in its user's index no more, though nobody asked for the list."""
    first, second = await store.create("ada"), await store.create("ada")
    (index,) = [key async for key in redis.scan_iter(f"arp:{{{name}|*user:ada*")]
    await store.revoke(first)
    assert await redis.zcard(index) == 1
    await store.revoke(second.token)
    assert await redis.zcard(index) == 0


async def test_fields_alone_can_be_removed(store: SessionStore) -> None:
    """A save that sets nothing removes what is not there any more."""
    session = await store.create("ada", {"one": 1, "two": 2, "three": 3})
    del session["one"], session["two"]
    assert await store.save(session)
    loaded = await store.load(session.token)
    assert loaded is not None
    assert dict(loaded) == {"three": 3}


async def test_all_sessions_of_a_user_end(redis: Redis, name: str, store: SessionStore) -> None:
    """All sessions of a user end but the one to keep, free their memory, and no other's do."""
    sessions = [await store.create("ada", {"n": number}) for number in range(5)]
    other = await store.create("bob")
    assert await store.revoke_all("ada", keep=sessions[2].token) == 4
    assert [await store.load(session.token) is not None for session in sessions] == [False, False, True, False, False]
    assert await store.load(other.token) is not None
    assert [info.public_id for info in await store.list("ada")] == [sessions[2].public_id]
    assert len([key for key in await keys_of_sessions(redis, name) if await redis.hexists(key, "head")]) == 2
    assert await store.revoke_all("ada", keep=other.token) == 1
    assert await store.revoke_all("ada") == 0
    assert await store.load(other.token) is not None


async def test_the_one_to_keep_may_be_rotated_meanwhile(redis: Redis, name: str) -> None:
    """Who says with an old token that his session is to stay keeps it in the grace, and not after it."""
    for grace, stays in ((60, True), (0, False)):
        store = SessionStore(redis, name, grace=grace)
        old, other = await store.create("ada"), await store.create("ada")
        new = await store.rotate(await store.rotate(old))
        assert await store.revoke_all("ada", keep=old.token) == (1 if stays else 2)
        assert [await store.load(each.token) is not None for each in (new, other)] == [stays, False]
        assert [info.public_id for info in await store.list("ada")] == [new.public_id] * stays
        await store.revoke_all("ada")


async def test_an_end_that_is_repeated_spares_who_came_meanwhile(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the reply to an end of all but one was lost, who logs in before its repetition stays and is listed."""
    call, meanwhile = SessionStore._call, list[Session]()

    async def twice(self: SessionStore, script: Any, *args: Any) -> Any:
        reply = await call(self, script, *args)
        if script.name == "session_revoke_all":
            meanwhile.append(await self.create("ada"))
            await call(self, script, *args)
        return reply

    monkeypatch.setattr(SessionStore, "_call", twice)
    kept, _ = await store.create("ada"), await store.create("ada")
    assert await store.revoke_all("ada", keep=kept.token) == 1
    alive = [kept, *meanwhile]
    assert {info.public_id for info in await store.list("ada")} == {each.public_id for each in alive}
    assert [await store.load(each.token) is not None for each in alive] == [True, True]


async def test_the_one_to_keep_may_be_given_itself(store: SessionStore) -> None:
    """The session that is to stay is named by its token, or is given as it is, as to `revoke`."""
    kept, other = await store.create("ada"), await store.create("ada")
    assert await store.revoke_all("ada", keep=kept) == 1
    assert [await store.load(each.token) is not None for each in (kept, other)] == [True, False]


async def test_a_login_is_before_or_after_the_end(store: SessionStore) -> None:
    """Of logins at the moment when all sessions of a user end each is before it, and ended, or after it, and listed."""
    for _ in range(10):
        logins = [store.create("ada") for _ in range(10)]
        before, ended, after = await asyncio.gather(
            asyncio.gather(*logins[:5]), store.revoke_all("ada"), asyncio.gather(*logins[5:])
        )
        alive = {each.public_id for each in (*before, *after) if await store.load(each.token) is not None}
        assert alive == {info.public_id for info in await store.list("ada")}
        assert ended + len(alive) == 10
        assert await store.revoke_all("ada") == len(alive)


async def test_the_epoch_alone_ends_sessions(redis: Redis, name: str, store: SessionStore) -> None:
    """Without the epoch that it was made in a session is none, whatever is left of it."""
    session = await store.create("ada", {"n": 1})
    (epochs,) = [key async for key in redis.scan_iter(f"arp:{{{name}|*:epochs")]
    await redis.hdel(epochs, "ada")
    assert await store.load(session.token) is None
    session["n"] = 2
    assert not await store.save(session)
    with pytest.raises(SessionConflictError):
        await store.rotate(session)
    await store.create("ada")
    assert await store.load(session.token) is None


async def test_the_number_of_sessions_is_bounded(redis: Redis, name: str) -> None:
    """Of many logins at one time as many live as allowed, the last ones; a dead one takes nobody's place."""
    store = SessionStore(redis, name, max_sessions=3)
    sessions = await asyncio.gather(*(store.create("ada") for _ in range(20)))
    alive = [session for session in sessions if await store.load(session.token) is not None]
    assert len(alive) == 3 == len(await store.list("ada"))
    for key in await keys_of_sessions(redis, name):
        if alive[0].public_id in str(await redis.hget(key, "head")):
            await redis.delete(key)
    new = await store.create("ada")
    assert [await store.load(each.token) is not None for each in (*alive, new)] == [False, True, True, True]


@pytest.mark.parametrize("most", [1, 2])
async def test_a_bound_holds_for_sessions_with_fields(redis: Redis, name: str, most: int) -> None:
    """A login that brings fields takes the place of the oldest one as well, down to a single session."""
    store = SessionStore(redis, name, max_sessions=most)
    sessions = [await store.create("ada", {"n": number, "cart": []}) for number in range(4)]
    assert [await store.load(each.token) is not None for each in sessions] == [False] * (4 - most) + [True] * most


async def test_what_died_by_itself_leaves_the_index(redis: Redis, name: str) -> None:
    """Where the number is bounded, a login forgets those that ended by themselves, thousands of them too."""
    await SessionStore(redis, name).create("ada")
    (index,) = [key async for key in redis.scan_iter(f"arp:{{{name}|*user:ada*")]
    await redis.zadd(index, {f"{number:064}": 10.0**16 - 1 for number in range(9000)} | {"f" * 64: 1})
    await SessionStore(redis, name).create("ada")
    assert await redis.zscore(index, "f" * 64) is None
    store = SessionStore(redis, name, max_sessions=2)
    for _ in range(2):
        session = await store.create("ada")
        assert await redis.zcard(index) == len(await store.list("ada")) == 2
    assert await store.load(session.token) is not None


async def test_a_list_ends_nothing(redis: Redis, name: str, store: SessionStore) -> None:
    """A session whose key lost its expiry is listed, and lives on at its next use."""
    session = await store.create("ada")
    (key,) = await keys_of_sessions(redis, name)
    await redis.persist(key)
    assert [info.public_id for info in await store.list("ada")] == [session.public_id]
    assert await store.load(session.token) is not None
    assert await redis.pttl(key) > 0


async def test_devices(store: SessionStore) -> None:
    """A user sees where he is logged in, without a token, and can end one of these by its public name."""
    first, second = [await store.create("ada", device=device) for device in ("Firefox", "Über-App" * 100)]
    assert {info.public_id: info.device for info in await store.list("ada")} == {
        first.public_id: "Firefox",
        second.public_id: "Über-App" * 25,
    }
    assert not await store.revoke_listed("bob", first.public_id)
    assert await store.revoke_listed("ada", first.public_id)
    assert await store.load(first.token) is None
    assert [info.public_id for info in await store.list("ada")] == [second.public_id]


async def test_a_list_follows_a_rotation(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is rotated while it is listed is on the list, and can be ended by its public name."""
    session, call = await store.create("ada"), SessionStore._call

    async def rotating(self: SessionStore, script: Any, *args: Any) -> Any:
        nonlocal session
        reply = await call(self, script, *args)
        if script.name == "session_list" and reply:
            session = await self.rotate(await self.rotate(session))
        return reply

    monkeypatch.setattr(SessionStore, "_call", rotating)
    assert [info.public_id for info in await store.list("ada")] == [session.public_id]
    assert await store.revoke_listed("ada", session.public_id)
    monkeypatch.undo()
    assert await store.load(session.token) is None
    assert await store.list("ada") == ()


async def test_redis_never_sees_a_token(redis: Redis, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """No token is in a key, a value, a log or a repr, and a pepper makes other hashes."""
    caplog.set_level(logging.DEBUG)
    plain, peppered = SessionStore(redis, name), SessionStore(redis, f"{name}:p", pepper=b"secret")
    sessions = [await store.create("ada", {"n": 1}) for store in (plain, peppered) for _ in range(3)]
    sessions.append(await plain.rotate(sessions[0]))
    dump = repr([plain, peppered, sessions]) + caplog.text
    for key in await keys_of(redis, name) + await keys_of(redis, f"{name}:p"):
        kind = await redis.type(key)
        dump += repr(key) + repr(await (redis.hgetall(key) if kind in {b"hash", "hash"} else redis.zrange(key, 0, -1)))
    assert all(session.token not in dump and session.token[2:] not in dump for session in sessions)
    assert await SessionStore(redis, f"{name}:p").load(sessions[3].token) is None


async def test_encrypted_sessions(redis: Redis, name: str) -> None:
    """What a session holds cannot be read in Redis nor moved to another place, and keys can be changed."""
    events: list[Any] = []
    old, new = b"o" * 32, b"n" * 32
    store = SessionStore(redis, name, encryption_keys=[old], on_event=events.append)
    session = await store.create("ada", {"a": "secret-a", "b": "secret-b"})
    assert dict((await store.load(session.token)) or {}) == {"a": "secret-a", "b": "secret-b"}
    (key,) = await keys_of_sessions(redis, name)
    async with connect(redis_url(redis)) as raw:
        assert b"secret" not in b"".join((await raw.hgetall(key)).values())
        changed = SessionStore(redis, name, encryption_keys=[new, old])
        loaded = await changed.rotate((await changed.load(session.token)) or session)
        loaded["a"] = "new"
        assert await changed.save(loaded)
        assert dict((await changed.load(loaded.token)) or {}) == {"a": "new", "b": "secret-b"}
        assert await store.load(loaded.token) is None
        (key,) = [key for key in await keys_of_sessions(redis, name) if await redis.hexists(key, "head")]
        await raw.hset(key, ":a", await raw.hget(key, ":b"))
        assert await changed.load(loaded.token) is None
    assert events == [PayloadUndecodable(pattern="SessionStore", name=name)]


async def test_what_cannot_be_read_is_no_session(redis: Redis, name: str) -> None:
    """A session whose stored bytes do not make sense is none, with one event, and never an error."""
    events: list[Any] = []
    store = SessionStore(redis, name, on_event=events.append)
    session = await store.create("ada", {"n": 1})
    (key,) = await keys_of_sessions(redis, name)
    head = session._head
    heads = [head[:96] + b"\xff" + head[97:], head[:64] + b"x" + head[65:], head[:100], b""]
    for field, data in ((":n", b"\xff"), (":m", b"{"), *(("head", head) for head in heads)):
        right = await redis.hget(key, field)
        await redis.hset(key, field, data)
        assert await store.load(session.token) is None
        await (redis.hdel(key, field) if right is None else redis.hset(key, field, right))
    assert await store.load(session.token) is not None
    await redis.hset(key, "head", head + b"\xff")
    assert await store.list("ada") == ()
    assert events == [PayloadUndecodable(pattern="SessionStore", name=name)] * 7


async def test_a_session_whose_end_cannot_be_read_is_none(redis: Redis, name: str, store: SessionStore) -> None:
    """A session that does not say when it ends is not rotated, and does not stay where all of its user end."""
    session, other = await store.create("ada"), await store.create("ada")
    for key in await keys_of_sessions(redis, name):
        if session.public_id in str(await redis.hget(key, "head")):
            await redis.hset(key, "head", session._head[:80] + b"x" * 16 + session._head[96:])
    with pytest.raises(SessionConflictError):
        await store.rotate(session)
    assert await store.revoke_all("ada", keep=session.token) == 2
    assert [await store.load(each.token) for each in (session, other)] == [None, None]


async def test_any_codec(redis: Redis, name: str) -> None:
    """Values are written by the codec that the store was given, and one it cannot write is refused unsent."""
    store = SessionStore(redis, name, codec=codec_for(int))
    session = await store.create("ada", {"n": 1})
    session["n"] = object()
    with pytest.raises(CodecError):
        await store.save(session)
    with pytest.raises(CodecError):
        await store.create("ada", {"n": object()})
    assert dict((await store.load(session.token)) or {}) == {"n": 1}


REFUSED: list[dict[str, Any]] = [
    *({"idle": value} for value in (0, -1, 0.0004, float("nan"), float("inf"), 10**12, "1", True)),
    *({"lifetime": value} for value in (0, float("nan"), None)),
    *({"grace": value} for value in (-1, float("nan"))),
    *({"max_sessions": value} for value in (0, -1, 1.5, True)),
    *({"encryption_keys": value} for value in ([], [b"short"], b"o" * 32, ["o" * 32])),
    {"on_reuse": "ignore"},
    {"name": ""},
    {"unknown": 1},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
async def test_a_store_that_cannot_work_is_refused(pipelined: Redis, options: dict[str, Any]) -> None:
    """A store whose numbers make no sense is refused when it is made."""
    with pytest.raises((ValueError, TypeError)):
        SessionStore(pipelined, **options)


async def test_users_and_fields_that_are_none(pipelined: Redis, name: str) -> None:
    """A user or a field without a usable name is refused before anything is sent."""
    store = SessionStore(pipelined, name)
    for user in ("", b"ada", 1.5, True, "x" * 513, "\ud800"):
        for call in (store.create, store.revoke_all, store.list):
            with pytest.raises((ValueError, TypeError)):
                await call(user)  # type: ignore[operator]
    session = await store.create("ada")
    with pytest.raises(TypeError):
        session[7] = 1  # type: ignore[index]
    wrong: Any = {7: 1}
    with pytest.raises(TypeError):
        await store.create("ada", wrong)
    with pytest.raises(ValueError, match="at most 1000"):
        await store.create("ada", {str(number): number for number in range(1001)})
    with pytest.raises(KeyError):
        session["missing"]


async def test_epochs_do_not_pile_up(pipelined: Redis, name: str) -> None:
    """Users who never come back leave nothing for longer than others of their shard log in."""
    store = SessionStore(pipelined, name, lifetime=0.05)
    shard = store._tokens.shard("ada")
    lost = [user for user in map(str, range(60_000)) if store._tokens.shard(user) == shard]
    for user in lost[:8]:
        await store.create(user)
    lasting, epochs = SessionStore(pipelined, name), f"arp:{{{name}|{shard}}}:epochs"

    async def all_forgotten() -> bool:
        await lasting.create("ada")
        return await pipelined.hlen(epochs) == 1

    await eventually(all_forgotten)


@pytest.fixture
async def proxied(server: EmbeddedServer) -> AsyncIterator[tuple[FaultProxy, Redis]]:
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        yield proxy, redis


async def test_lost_replies(proxied: tuple[FaultProxy, Redis], name: str) -> None:
    """What was executed and lost its reply counts once; only a login does not know, and tells."""
    proxy, redis = proxied
    store = SessionStore(redis, name, versioned=True)
    session = await store.create("ada", {"n": 0})
    session["n"] = 1
    proxy.add(Fault("cut_after", "EVALSHA"))
    assert await store.save(session)
    proxy.add(Fault("cut_after", "EVALSHA"))
    new = await store.rotate(session)
    assert dict((await store.load(new.token)) or {}) == {"n": 1}
    proxy.add(Fault("cut_after", "EVALSHA"))
    assert await store.revoke(new)
    assert not await store.revoke(new)
    new = await store.create("ada")
    proxy.add(Fault("cut_after", "EVALSHA"))
    with pytest.raises(OutcomeUnknownError):
        await store.create("ada")
    proxy.add(Fault("cut_after", "EVALSHA"))
    assert await store.revoke_all("ada") >= 0
    assert await store.load(new.token) is None
    assert await store.list("ada") == ()


async def test_a_lost_script_is_not_noticed(redis: Redis, store: SessionStore) -> None:
    """A server that forgot its scripts is not noticed."""
    session = await store.create("ada", {"n": 0})
    await redis.script_flush()
    assert await store.load(session.token) is not None


class Crossing:
    """Requests of one user that cross the end of his sessions."""

    def __init__(self, store: SessionStore, touching: SessionStore, user: str, which: str) -> None:
        self.store, self.touching, self.user, self.which = store, touching, user, which
        self.rng = random.Random(f"{which} {user}")
        self.handles: list[Session] = []

    async def run(self, kept: set[int]) -> None:
        """Let three sessions be used while some of them are ended; none that was ended is alive afterwards."""
        self.handles = [await self.store.create(self.user, {"n": 0}) for _ in range(3)]
        public = [handle.public_id for handle in self.handles]
        await asyncio.gather(self.end(), *map(self.use, self.handles[:]))
        alive = {each.public_id for each in self.handles if await self.store.load(each.token) is not None}
        assert alive <= {public[number] for number in kept}
        assert {info.public_id for info in await self.store.list(self.user)} == alive

    async def use(self, session: Session) -> None:
        """Load, touch, save and rotate a session in some order."""
        with contextlib.suppress(SessionConflictError):
            for _ in range(8):
                await asyncio.sleep(self.rng.random() * 0.02)
                session = await self.step(session)

    async def step(self, session: Session) -> Session:
        session["n"] = self.rng.random()
        step = self.rng.choice(["load", "touch", "save", "rotate"])
        if step == "rotate":
            session = await self.store.rotate(session)
            self.handles.append(session)
        elif step == "save":
            await self.store.save(session)
        else:
            await (self.store if step == "load" else self.touching).load(session.token)
        return session

    async def end(self) -> None:
        await asyncio.sleep(self.rng.random() * 0.1)
        if self.which == "one":
            await self.store.revoke(self.handles[0])
        else:
            keep = self.handles[1].token if self.which == "all but one" else None
            await self.store.revoke_all(self.user, keep=keep)


@pytest.mark.parametrize(("which", "kept"), [("one", {1, 2}), ("all", set[int]()), ("all but one", {1})])
async def test_no_session_outlives_its_end(pipelined: Redis, name: str, which: str, kept: set[int]) -> None:
    """However loads, touches, saves and rotations of 340 users cross the end of sessions, none that ended lives."""
    store, touching = SessionStore(pipelined, name, grace=60), SessionStore(pipelined, name, idle=80_000)
    await asyncio.gather(*(Crossing(store, touching, str(user), which).run(kept) for user in range(340)))


async def commands(redis: Redis) -> int:
    """How many scripts the server was asked for."""
    stats = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))


def redis_url(redis: Redis) -> str:
    known = redis.connection_pool.connection_kwargs
    return f"redis://{known['host']}:{known['port']}"
