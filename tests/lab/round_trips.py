"""A round trip of each public pattern: what is put before the `yield` must be there behind it, and nothing else.

The arguments say what is strange. A name and a subject, or a name alone, are no other probe's of the same time; a
member, a payload, an answer and a number are not for telling probes apart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from aioredis_patterns import (
    Activity,
    Bans,
    Barrier,
    Cache,
    CompositeLimit,
    ConcurrencyLimit,
    ConsumerGroup,
    Counter,
    Deque,
    Document,
    EventLog,
    FairLock,
    Fallback,
    FeatureFlags,
    Feed,
    FenceGuard,
    FixedWindow,
    Gcra,
    Latch,
    Leaderboard,
    LeaderElection,
    LeakyBucket,
    LocalLease,
    Lock,
    MultiLock,
    NearCache,
    PeriodicLeaderboard,
    PriorityQueue,
    Queue,
    Quota,
    ReadWriteLock,
    Record,
    Redlock,
    ReentrantLock,
    Semaphore,
    SessionStore,
    Shadow,
    ShardedCounter,
    SlidingLog,
    SlidingWindow,
    SocialGraph,
    Stack,
    TagIndex,
    TokenBucket,
    UniqueCounter,
    UniqueSet,
    WriteBehind,
    WriteThrough,
)

__all__ = ("LASTING", "ROUND_TRIPS", "Probe")

Probe = Callable[..., AsyncIterator[None]]

_MONTH: Final = 30 * 86_400.0
_LIMIT: Final = 10


async def barrier(redis: Any, name: str) -> AsyncIterator[None]:
    assert await Barrier(redis, name, parties=1).wait(timeout=5) == 0
    yield
    assert (await Barrier(redis, name, parties=1).state()).passed == 1


async def election(redis: Any, name: str) -> AsyncIterator[None]:
    async with LeaderElection(redis, name, lease=30) as one:
        await one.elected(timeout=5)
        yield
        assert await one.leader() is not None
    assert await one.leader() is None


async def guard(redis: Any, name: str, member: str, number: int) -> AsyncIterator[None]:
    assert await FenceGuard(redis, name).run(number, "return ARGV[1]", args=[member]) == member.encode()
    yield
    assert await FenceGuard(redis, name).run(number, "return ARGV[1]", args=[member]) == member.encode()


async def latch(redis: Any, name: str, member: str) -> AsyncIterator[None]:
    gate = Latch(redis, name, count=2)
    assert await gate.count_down(member) == await gate.count_down(member) == 1
    yield
    assert await gate.missing() == 1


def lock(kind: Callable[..., Any]) -> Probe:
    async def probe(redis: Any, name: str) -> AsyncIterator[None]:
        mine, other = kind(redis, name, lease=60), kind(redis, name, lease=60)
        async with await mine.acquire(timeout=5):
            yield
            if kind is ReentrantLock:
                assert await other.owner() is not None
            else:
                assert await other.try_acquire() is None

    return probe


async def multi_lock(redis: Any, name: str) -> AsyncIterator[None]:
    names = [name, f"{name}2nd"]
    async with await MultiLock(redis, names, lease=60).acquire(timeout=5):
        yield
        assert await MultiLock(redis, names[1:], lease=60).try_acquire() is None


async def read_write_lock(redis: Any, name: str) -> AsyncIterator[None]:
    lock = ReadWriteLock(redis, name, lease=60)
    async with lock.read():
        yield
        assert await lock.write().try_acquire() is None


def limit(kind: Callable[..., Any], **terms: Any) -> Probe:
    async def probe(redis: Any, name: str, subject: Any, number: int) -> AsyncIterator[None]:
        limiter = kind(redis, name, limit=_LIMIT, **({"period": _MONTH} | terms))
        assert (await limiter.hit(subject, cost=number)).allowed
        yield
        assert (await limiter.peek(subject)).remaining == _LIMIT - number

    return probe


async def concurrency(redis: Any, name: str, subject: Any) -> AsyncIterator[None]:
    limit = ConcurrencyLimit(redis, name, limit=2, lease=60)
    async with limit.slot(subject):
        yield
        assert (await limit.peek(subject)).remaining == 1


async def composite(redis: Any, name: str, subject: Any, number: int) -> AsyncIterator[None]:
    parts = [FixedWindow(redis, part, limit=_LIMIT * 2, period=_MONTH) for part in (f"{name}1", f"{name}2")]
    limit = CompositeLimit(redis, name, parts)
    assert (await limit.hit(subject, cost=number)).allowed
    yield
    assert (await limit.peek(subject)).remaining == _LIMIT * 2 - number


async def quota(redis: Any, name: str, subject: Any, number: int) -> AsyncIterator[None]:
    quota = Quota(redis, name, limit=_LIMIT, per="month")
    async with quota.reserve(subject, number) as reservation:
        await reservation.commit(number)
    yield
    assert (await quota.peek(subject)).remaining == _LIMIT - number


async def bans(redis: Any, name: str, subject: Any) -> AsyncIterator[None]:
    guarded = Bans(FixedWindow(redis, name, limit=1, period=_MONTH), after=1, within=60)
    assert [bool(await guarded.hit(subject)) for _ in range(2)] == [True, False]
    yield
    assert (await guarded.hit(subject)).source == "ban"
    assert await guarded.pardon(subject)


async def local_lease(redis: Any, name: str, subject: Any) -> AsyncIterator[None]:
    hot = LocalLease(TokenBucket(redis, name, limit=_LIMIT, period=_MONTH), block=_LIMIT, hold=60)
    assert (await hot.hit(subject)).allowed
    yield
    assert (await hot.hit(subject)).allowed


def around(kind: Callable[..., Any], **terms: Any) -> Probe:
    async def probe(redis: Any, name: str, subject: Any, number: int) -> AsyncIterator[None]:
        limiter = kind(FixedWindow(redis, name, limit=_LIMIT, period=_MONTH), **terms)
        assert (await limiter.hit(subject, cost=number)).allowed
        yield
        assert (await limiter.peek(subject)).remaining == _LIMIT - number

    return probe


async def cache(redis: Any, name: str, subject: Any, payload: Any) -> AsyncIterator[None]:
    values = Cache(redis, name, ttl=60)
    await values.set(subject, payload, tags=[f"tag of {subject}"])
    yield
    assert await values.get(subject, default=yielded) == payload
    assert await values.get_or_load(subject, yielded) == payload
    await values.invalidate(f"tag of {subject}")
    assert await values.get(subject, default=yielded) is yielded


def yielded() -> None:
    """What no probe ever put: the default, and the loader that nobody needs."""
    raise AssertionError("loaded again")


async def near_cache(redis: Any, name: str, subject: Any, payload: Any) -> AsyncIterator[None]:
    values = Cache(redis, name, ttl=60, near=NearCache(max_entries=10))
    await values.set(subject, payload)
    yield
    for _ in range(2):
        assert await values.get(subject, default=yielded) == payload


async def cached(redis: Any, name: str, member: str, answer: Any) -> AsyncIterator[None]:
    calls = 0

    @Cache(redis, name, ttl=60).cached(key="{who}")
    async def profile(who: str) -> Any:
        nonlocal calls
        calls += 1
        return answer

    assert await profile(member) == answer
    yield
    assert (await profile(member), calls) == (answer, 1)


async def write_through(redis: Any, name: str, subject: Any, payload: Any) -> AsyncIterator[None]:
    table: dict[Any, Any] = {}
    values = Cache(redis, name, ttl=60)
    await WriteThrough(values, table.__setitem__).set(subject, payload)
    yield
    assert await values.get(subject, default=yielded) == payload == table[subject]


async def write_behind(redis: Any, name: str, member: str, payload: Any) -> AsyncIterator[None]:
    table: dict[Any, Any] = {}
    values = WriteBehind(Cache(redis, name, ttl=60), table.update, delay=60)
    await values.set(member, payload)
    yield
    assert await values.get(member, default=yielded) == payload
    assert await values.flush() == 1
    await values.aclose()
    assert table == {member: payload}


async def sessions(redis: Any, name: str, subject: Any, payload: Any) -> AsyncIterator[None]:
    store = SessionStore(redis, name)
    token = (await store.create(subject, {"payload": payload}, device=str(subject))).token
    yield
    session = await store.load(token)
    assert session is not None
    assert (session["payload"], session.user_id) == (payload, str(subject))
    assert [info.device for info in await store.list(subject)] == [str(subject)[:200]]
    assert await store.revoke_all(subject) == 1


def queue(kind: Callable[..., Any]) -> Probe:
    async def probe(redis: Any, name: str, member: str, payload: Any) -> AsyncIterator[None]:
        jobs = kind(redis, name)
        ids = [await jobs.put(payload, dedup=member, headers={member: member}) for _ in range(2)]
        yield
        delivery = await jobs.claim(timeout=0)
        assert (delivery.id, delivery.payload, delivery.headers) == (ids[1], payload, {member: member})
        assert await delivery.reject(member)
        assert [(dead.payload, dead.reason) for dead in await jobs.dead.list()] == [
            (payload, member.replace("\0", " "))
        ]

    return probe


async def stack(redis: Any, name: str, payload: Any) -> AsyncIterator[None]:
    await Stack(redis, name).push("below", [payload])
    yield
    assert await Stack(redis, name).pop() == [payload]
    assert await Stack(redis, name).count() == 1


async def deque(redis: Any, name: str, payload: Any) -> AsyncIterator[None]:
    await Deque(redis, name).push_left([payload])
    yield
    assert await Deque(redis, name).pop_right() == [payload]
    assert await Deque(redis, name).count() == 0


async def event_log(redis: Any, name: str, member: str, payload: Any) -> AsyncIterator[None]:
    log = EventLog(redis, name)
    await log.append(payload, key=member, headers={member: member})
    yield
    (entry,) = [entry async for entry in log.read()]
    assert (entry.payload, entry.key, entry.headers) == (payload, member, {member: member})


async def consumer_group(redis: Any, name: str, member: str, payload: Any) -> AsyncIterator[None]:
    log = EventLog(redis, name)
    await log.append(payload)
    yield
    delivery = await ConsumerGroup(log, member).claim(member, timeout=0)
    assert delivery is not None
    assert delivery.payload == payload
    assert await delivery.ack()


async def feed(redis: Any, name: str, member: str, payload: Any) -> AsyncIterator[None]:
    own, reader = Feed(redis, name), Feed(redis, f"{name}'s reader")
    await own.post([payload], item_id=member)
    await reader.follow(own)
    yield
    assert (await reader.page()).items == (await own.page()).items == [[payload]]


async def leaderboard(redis: Any, name: str, member: str, number: int, payload: Any) -> AsyncIterator[None]:
    board = Leaderboard(redis, name, meta=True)
    await board.set(member, number, [payload])
    yield
    (row,) = await board.top(2)
    assert (row.member, row.score, row.rank, row.meta) == (member, number, 1, [payload])


async def periodic(redis: Any, name: str, member: str, number: int) -> AsyncIterator[None]:
    board = PeriodicLeaderboard(redis, name, periods=("monthly",))
    await board.increment(member, number)
    yield
    assert (await board.board("monthly").get(member)).score == number


async def counter(redis: Any, name: str, subject: Any, number: int) -> AsyncIterator[None]:
    await Counter(redis, name, ttl=60).increment(subject, by=number)
    yield
    assert await Counter(redis, name, ttl=60).get(subject) == number


async def sharded_counter(redis: Any, name: str, number: int) -> AsyncIterator[None]:
    await ShardedCounter(redis, name, ttl=60).increment(by=number)
    yield
    assert await ShardedCounter(redis, name, ttl=60).get() == number


async def unique_counter(redis: Any, name: str, member: str, number: int) -> AsyncIterator[None]:
    unique = UniqueCounter(redis, name, ttl=60)
    await unique.add(member, member, window=member)
    yield
    assert (await unique.count(member)).estimate == 1


async def activity(redis: Any, name: str, member: str) -> AsyncIterator[None]:
    users = Activity(redis, name)
    assert await users.mark(member) == 1
    yield
    assert (await users.active(member), await users.wau()) == (True, 1)


async def unique_set(redis: Any, name: str, member: str) -> AsyncIterator[None]:
    assert await UniqueSet(redis, name, ttl=60).add(member) == 1
    yield
    assert await UniqueSet(redis, name, ttl=60).sample(2) == [member]
    assert not await UniqueSet(redis, name, ttl=60).contains(f"{member}.")


async def tag_index(redis: Any, name: str, member: str) -> AsyncIterator[None]:
    tags = TagIndex(redis, name)
    await tags.add(member, member, f"{member}'s")
    yield
    assert sorted(await tags.tags(member)) == sorted([member, f"{member}'s"])
    assert await tags.find(all=[member], any=[f"{member}'s"]) == [member]
    assert not await tags.find(all=[member], none=[f"{member}'s"])


async def social_graph(redis: Any, name: str, member: str) -> AsyncIterator[None]:
    graph = SocialGraph(redis, name)
    assert await graph.follow(member, f"{member}'s")
    yield
    assert (await graph.following(member)).people == [f"{member}'s"]
    assert (await graph.followers(f"{member}'s")).people == [member]


async def document(redis: Any, name: str, subject: Any, payload: Any) -> AsyncIterator[None]:
    await Document(redis, name, ttl=60).set(subject, {"value": payload})
    yield
    assert await Document(redis, name, ttl=60).get(subject) == {"value": payload}


@dataclass(slots=True)
class Profile:
    """What a record holds."""

    title: str
    logins: int = 0


async def record(redis: Any, name: str, subject: Any, member: str, number: int) -> AsyncIterator[None]:
    users = Record(redis, name, Profile, ttl=60)
    await users.set(subject, Profile(member))
    await users.increment(subject, "logins", number)
    yield
    assert await users.get(subject) == Profile(member, number)


async def flags(redis: Any, name: str, member: str) -> AsyncIterator[None]:
    flags = FeatureFlags(redis, name)
    await flags.set(member, allow=[member], deny=[f"{member}'s"], by=member)
    yield
    assert await flags.enabled(member, member)
    assert await flags.all(f"{member}'s") == {member: False}
    assert [change.by for change in await flags.audit()] == [member]


ROUND_TRIPS: Final[dict[str, Probe]] = {
    "Activity": activity,
    "Bans": bans,
    "Barrier": barrier,
    "Cache": cache,
    "Cached": cached,
    "CompositeLimit": composite,
    "ConcurrencyLimit": concurrency,
    "ConsumerGroup": consumer_group,
    "Counter": counter,
    "Deque": deque,
    "Document": document,
    "EventLog": event_log,
    "FairLock": lock(FairLock),
    "Fallback": around(Fallback, on_error="open", budget=30),
    "FeatureFlags": flags,
    "Feed": feed,
    "FenceGuard": guard,
    "FixedWindow": limit(FixedWindow),
    "Gcra": limit(Gcra, burst=_LIMIT),
    "Latch": latch,
    "LeaderElection": election,
    "Leaderboard": leaderboard,
    "LeakyBucket": limit(LeakyBucket, burst=_LIMIT),
    "LocalLease": local_lease,
    "Lock": lock(Lock),
    "MultiLock": multi_lock,
    "NearCache": near_cache,
    "PeriodicLeaderboard": periodic,
    "PriorityQueue": queue(PriorityQueue),
    "Queue": queue(Queue),
    "Quota": quota,
    "ReadWriteLock": read_write_lock,
    "Record": record,
    "Redlock": lock(lambda redis, name, lease: Redlock([redis], name, lease=lease)),
    "ReentrantLock": lock(ReentrantLock),
    "Semaphore": lock(lambda redis, name, lease: Semaphore(redis, name, permits=1, lease=lease)),
    "SessionStore": sessions,
    "Shadow": around(Shadow),
    "ShardedCounter": sharded_counter,
    "SlidingLog": limit(SlidingLog),
    "SlidingWindow": limit(SlidingWindow),
    "SocialGraph": social_graph,
    "Stack": stack,
    "TagIndex": tag_index,
    "TokenBucket": limit(TokenBucket, burst=_LIMIT),
    "UniqueCounter": unique_counter,
    "UniqueSet": unique_set,
    "WriteBehind": write_behind,
    "WriteThrough": write_through,
}
"""Every public pattern, by its name."""

LASTING: Final[dict[str, str]] = {
    "ConsumerGroup": "a log keeps its entries until it is trimmed",
    "Deque": "a deque keeps its items until they are popped",
    "EventLog": "a log keeps its entries until it is trimmed",
    "FeatureFlags": "flags and the log of their changes last",
    "Feed": "who follows whom lasts until it is ended",
    "Leaderboard": "a board keeps its members until they are removed",
    "PriorityQueue": "a message is kept until it is acknowledged or dropped",
    "Queue": "a message is kept until it is acknowledged or dropped",
    "SocialGraph": "a graph keeps its people until they are not followed any more",
    "Stack": "a stack keeps its items until they are popped",
    "TagIndex": "an index keeps its items until they are removed",
    "WriteBehind": "what the store has not been told yet must not be lost",
}
"""Patterns that may leave a key without a time to live, with the reason."""
