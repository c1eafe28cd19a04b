"""What is called of each pattern while its keys hold what nobody put there: the state is made, the calls are named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
    FeatureFlags,
    Feed,
    FenceGuard,
    FixedWindow,
    Gcra,
    Latch,
    Leaderboard,
    LeakyBucket,
    Lock,
    MultiLock,
    NearCache,
    PeriodicLeaderboard,
    PriorityQueue,
    Queue,
    Quota,
    ReadWriteLock,
    Record,
    Semaphore,
    SessionStore,
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

__all__ = ("CALLS", "Call")

Call = Callable[[], Awaitable[Any]]
Calls = dict[str, Call]
Make = Callable[[Any, str], Awaitable[Calls]]

_WHO: Final = "ada"


async def activity(redis: Any, name: str) -> Calls:
    users = Activity(redis, name)
    await users.mark(_WHO, "bob")
    return {
        "mark": lambda: users.mark(_WHO, "cy"),
        "active": lambda: users.active(_WHO),
        "count": users.count,
        "wau": users.wau,
    }


async def bans(redis: Any, name: str) -> Calls:
    guarded = Bans(FixedWindow(redis, name, limit=1, period=60), after=1, within=60)
    for _ in range(2):
        await guarded.hit(_WHO)
    return {
        "hit": lambda: guarded.hit(_WHO),
        "peek": lambda: guarded.peek(_WHO),
        "banned": guarded.banned,
        "pardon": lambda: guarded.pardon(_WHO),
    }


async def barrier(redis: Any, name: str) -> Calls:
    gate = Barrier(redis, name, parties=1)
    await gate.wait(timeout=1)
    return {"wait": lambda: gate.wait(timeout=1), "state": gate.state, "abort": gate.abort, "reset": gate.reset}


def values(**options: Any) -> Make:
    async def calls(redis: Any, name: str) -> Calls:
        cache = Cache(redis, name, ttl=60, stale_ttl=60, **options)
        await cache.set(_WHO, {"name": "Ada"}, tags=["people"])
        await cache.invalidate("others")
        await cache.get(_WHO)
        return {
            "get": lambda: cache.get(_WHO),
            "set": lambda: cache.set(_WHO, 1, tags=["people"]),
            "get_or_load": lambda: cache.get_or_load(_WHO, lambda: 1, tags=["people"]),
            "get_or_load_many": lambda: cache.get_or_load_many([_WHO, "bob"], lambda keys: dict.fromkeys(keys, 1)),
            "refresh": lambda: cache.refresh(_WHO, lambda: 1),
            "expire": lambda: cache.expire(_WHO),
            "explain": lambda: cache.explain(_WHO),
            "delete": lambda: cache.delete(_WHO),
            "invalidate": lambda: cache.invalidate("people"),
            "clear": cache.clear,
        }

    return calls


async def write_through(redis: Any, name: str) -> Calls:
    cache, table = Cache(redis, name, ttl=60), dict[Any, Any]()
    await cache.set(_WHO, 1, tags=["people"])
    users = WriteThrough(cache, table.__setitem__)
    return {"set": lambda: users.set(_WHO, 2, tags=["people"])}


async def write_behind(redis: Any, name: str) -> Calls:
    users = WriteBehind(Cache(redis, name, ttl=60), lambda rows: None, delay=60)
    try:
        await users.set(_WHO, 1)
    except BaseException:
        await users.aclose()  # or it would write behind for ever, and nobody would know it
        raise
    return {
        "set": lambda: users.set(_WHO, 2),
        "delete": lambda: users.delete(_WHO),
        "get": lambda: users.get(_WHO),
        "flush": users.flush,
        "dead": users.dead,
        "replay": users.replay,
        "aclose": users.aclose,
    }


async def composite(redis: Any, name: str) -> Calls:
    parts = [TokenBucket(redis, f"{name} 1", limit=9, period=60), SlidingWindow(redis, f"{name} 2", limit=9, period=60)]
    return await limiter_calls(CompositeLimit(redis, name, parts))


async def limiter_calls(limit: Any) -> Calls:
    await limit.hit(_WHO, cost=3)
    return {
        "hit": lambda: limit.hit(_WHO),
        "peek": lambda: limit.peek(_WHO),
        "refund": lambda: limit.refund(_WHO),
        "acquire": lambda: limit.acquire(_WHO, timeout=0.05),
        "reset": lambda: limit.reset(_WHO),
    }


def limits(kind: Callable[..., Any], **options: Any) -> Make:
    async def calls(redis: Any, name: str) -> Calls:
        return await limiter_calls(kind(redis, name, limit=9, period=60, **options))

    return calls


async def concurrency(redis: Any, name: str) -> Calls:
    limit = ConcurrencyLimit(redis, name, limit=2)
    held = limit.slot(_WHO)
    await held.__aenter__()

    async def enter() -> None:
        async with limit.slot(_WHO, timeout=0.05):
            pass

    return {"enter": enter, "peek": lambda: limit.peek(_WHO), "leave": held.leave, "reset": lambda: limit.reset(_WHO)}


async def quota(redis: Any, name: str) -> Calls:
    quota = Quota(redis, name, limit=9, per="day")
    await quota.hit(_WHO)

    async def reserve() -> None:
        async with quota.reserve(_WHO, 2) as reservation:
            await reservation.commit(1)

    async with quota.reserve(_WHO, 1):
        return {
            "hit": lambda: quota.hit(_WHO),
            "peek": lambda: quota.peek(_WHO),
            "refund": lambda: quota.refund(_WHO),
            "reserve": reserve,
            "reset": lambda: quota.reset(_WHO),
        }


async def group(redis: Any, name: str) -> Calls:
    log = EventLog(redis, name)
    for number in range(3):
        await log.append({"order": number}, key="k")
    billing = ConsumerGroup(log, "billing")
    one, two = await billing.claim(_WHO, timeout=0), await billing.claim(_WHO, timeout=0)
    assert one is not None
    assert two is not None
    await two.reject("no")
    return {
        "append": lambda: log.append(1, key="k"),
        "append once": lambda: log.append(1, producer="p", sequence=1),
        "range": log.range,
        "trim": lambda: log.trim(maxlen=1),
        "claim": lambda: billing.claim(_WHO, timeout=0),
        "stats": billing.stats,
        "reap": billing.reap,
        "ack": one.ack,
        "nack": one.nack,
        "extend": one.extend,
        "dead": billing.dead.list,
        "replay": billing.dead.replay,
        "drop": billing.dead.drop,
    }


async def counter(redis: Any, name: str) -> Calls:
    count = Counter(redis, name, ttl=60, maximum=5)
    await count.increment()
    return {"increment": count.increment, "get": count.get, "reset": count.reset}


async def sharded_counter(redis: Any, name: str) -> Calls:
    count = ShardedCounter(redis, name, ttl=60, shards=2)
    await count.increment()
    return {"increment": count.increment, "get": count.get, "reset": count.reset}


async def deque(redis: Any, name: str) -> Calls:
    ends = Deque(redis, name, maxlen=5)
    await ends.push_left(1, 2)
    return {
        "push_left": lambda: ends.push_left(3),
        "pop_left": ends.pop_left,
        "pop_right": ends.pop_right,
        "pop_many_left": lambda: ends.pop_many_left(2),
        "peek_left": ends.peek_left,
        "move_to": lambda: ends.move_to(Deque(redis, name)),
        "count": ends.count,
    }


async def stack(redis: Any, name: str) -> Calls:
    pile = Stack(redis, name)
    await pile.push(1, 2)
    return {"push": lambda: pile.push(3), "pop": pile.pop, "peek": pile.peek, "pop_many": lambda: pile.pop_many(2)}


async def document(redis: Any, name: str) -> Calls:
    docs = Document(redis, name, ttl=60)
    await docs.set(_WHO, {"theme": "dark"})
    return {
        "get": lambda: docs.get(_WHO),
        "set": lambda: docs.set(_WHO, 1),
        "update": lambda: docs.update(_WHO, "$.theme", "light"),
        "modify": lambda: docs.modify(_WHO, lambda value: value),
        "compare_and_set": lambda: docs.compare_and_set(_WHO, {"theme": "dark"}, 1),
        "delete": lambda: docs.delete(_WHO),
    }


@dataclass(slots=True)
class Profile:
    """What a record holds."""

    title: str
    logins: int = 0
    weight: float = 0.0


async def record(redis: Any, name: str) -> Calls:
    users = Record(redis, name, Profile, ttl=60)
    await users.set(_WHO, Profile("Dr"))
    return {
        "get": lambda: users.get(_WHO),
        "set": lambda: users.set(_WHO, Profile("Prof")),
        "update": lambda: users.update(_WHO, title="Prof"),
        "increment": lambda: users.increment(_WHO, "logins"),
        "increment by a float": lambda: users.increment(_WHO, "weight", 0.5),
        "modify": lambda: users.modify(_WHO, lambda profile: profile),
        "compare_and_set": lambda: users.compare_and_set(_WHO, Profile("Dr"), Profile("Prof")),
        "delete": lambda: users.delete(_WHO),
    }


async def flags(redis: Any, name: str) -> Calls:
    await FeatureFlags(redis, name).set("ui", percentage=10, allow=[_WHO], variants={"a": 1, "b": 1})
    flags = FeatureFlags(redis, name)
    return {
        "enabled": lambda: flags.enabled("ui", _WHO),
        "all": lambda: flags.all(_WHO),
        "variant": lambda: flags.variant("ui", _WHO),
        "get": lambda: flags.get("ui"),
        "set": lambda: flags.set("ui", percentage=20),
        "grant": lambda: flags.grant("ui", "bob"),
        "revoke": lambda: flags.revoke("ui", _WHO),
        "audit": flags.audit,
        "delete": lambda: flags.delete("ui"),
    }


async def feed(redis: Any, name: str) -> Calls:
    own, reader = Feed(redis, name), Feed(redis, f"{name} reader")
    await reader.follow(own)
    for number in range(3):
        await own.post(number)
    cursor = (await reader.page(count=1)).cursor
    return {
        "post": lambda: own.post(4),
        "page": own.page,
        "reader's page": reader.page,
        "next page": lambda: reader.page(cursor),
        "follow": lambda: own.follow(reader),
        "unfollow": lambda: reader.unfollow(own),
    }


async def guard(redis: Any, name: str) -> Calls:
    account = FenceGuard(redis, name)
    await account.run(3, "return 1")
    return {"run": lambda: account.run(4, "return 1"), "run late": lambda: account.run(2, "return 1")}


async def latch(redis: Any, name: str) -> Calls:
    gate = Latch(redis, name, count=2)
    await gate.count_down(_WHO)
    return {
        "count_down": lambda: gate.count_down("bob"),
        "count_down anybody": gate.count_down,
        "missing": gate.missing,
        "wait": lambda: gate.wait(timeout=0.05),
    }


async def leaderboard(redis: Any, name: str) -> Calls:
    return await board_calls(Leaderboard(redis, name, ties="first", meta=True), Leaderboard(redis, f"{name} other"))


async def sharing(redis: Any, name: str) -> Calls:
    return await board_calls(Leaderboard(redis, name, maxlen=3), Leaderboard(redis, f"{name} other"))


async def board_calls(board: Any, other: Any) -> Calls:
    for score, member in enumerate((_WHO, "bob", "cy")):
        await board.set(member, score)
    return {
        "set": lambda: board.set(_WHO, 5),
        "increment": lambda: board.increment(_WHO, 1),
        "submit": lambda: board.submit(_WHO, 7),
        "remove": lambda: board.remove(_WHO),
        "get": lambda: board.get(_WHO),
        "rank": lambda: board.rank(_WHO),
        "top": lambda: board.top(3),
        "around": lambda: board.around(_WHO, 3),
        "page": lambda: board.page(0, 3),
        "among": lambda: board.among([_WHO, "bob", "dee"]),
        "percentile": lambda: board.percentile(_WHO),
        "score_at": lambda: board.score_at(50),
        "snapshot": lambda: board.snapshot(ttl=60),
    }


async def periodic(redis: Any, name: str) -> Calls:
    board = PeriodicLeaderboard(redis, name)
    await board.increment(_WHO, 1)
    return {
        "increment": lambda: board.increment(_WHO, 1),
        "submit": lambda: board.submit(_WHO, 7),
        "top": lambda: board.board("daily").top(3),
        "archive": lambda: board.archive("daily", ttl=60),
    }


def locks(kind: Callable[..., Any]) -> Make:
    async def calls(redis: Any, name: str) -> Calls:
        lock = kind(redis, name)
        lease = await lock.acquire(timeout=1)
        others = {"owner": "owner", "locked": "locked", "force_release": "force_release", "available": "available"}
        return {
            "try_acquire": kind(redis, name).try_acquire,
            "extend": lease.extend,
            "release": lease.release,
            **{name: getattr(lock, method) for name, method in others.items() if hasattr(lock, method)},
        }

    return calls


async def read_write_lock(redis: Any, name: str) -> Calls:
    lock = ReadWriteLock(redis, name)
    lease = await lock.read().acquire(timeout=1)
    return {
        "read": lock.read().try_acquire,
        "write": lock.write().try_acquire,
        "extend": lease.extend,
        "release": lease.release,
        "locked": lock.locked,
        "owner": lock.owner,
    }


def queues(kind: Callable[..., Any]) -> Make:
    async def calls(redis: Any, name: str) -> Calls:
        jobs = kind(redis, name)
        for number in range(4):
            await jobs.put({"job": number}, dedup=f"job {number}", headers={"a": "b"})
        await jobs.put("later", delay=30)
        one, two = await jobs.claim_many(2)
        await two.reject("no")
        return {
            "put": lambda: jobs.put(5),
            "put again": lambda: jobs.put(5, dedup="job 3"),
            "put later": lambda: jobs.put(5, delay=5),
            "claim": lambda: jobs.claim(timeout=0),
            "ack": one.ack,
            "nack": one.nack,
            "reject": lambda: one.reject("no"),
            "extend": one.extend,
            "stats": jobs.stats,
            "dead": jobs.dead.list,
            "replay": jobs.dead.replay,
            "drop": jobs.dead.drop,
        }

    return calls


async def sessions(redis: Any, name: str) -> Calls:
    store = SessionStore(redis, name, max_sessions=3)
    session = await store.create(_WHO, {"cart": []}, device="phone")
    session["seen"] = True
    return {
        "load": lambda: store.load(session.token),
        "save": lambda: store.save(session),
        "rotate": lambda: store.rotate(session),
        "create": lambda: store.create(_WHO),
        "list": lambda: store.list(_WHO),
        "revoke": lambda: store.revoke(session),
        "revoke_all": lambda: store.revoke_all(_WHO),
    }


async def social_graph(redis: Any, name: str) -> Calls:
    graph = SocialGraph(redis, name)
    await graph.follow(_WHO, "bob")
    await graph.follow("bob", "cy")
    return {
        "follow": lambda: graph.follow(_WHO, "cy"),
        "unfollow": lambda: graph.unfollow(_WHO, "bob"),
        "following": lambda: graph.following(_WHO),
        "mutual": lambda: graph.mutual(_WHO, "bob"),
        "suggestions": lambda: graph.suggestions(_WHO),
    }


async def tag_index(redis: Any, name: str) -> Calls:
    tags = TagIndex(redis, name)
    await tags.add("p1", "red", "big")
    return {
        "add": lambda: tags.add("p1", "blue"),
        "remove": lambda: tags.remove("p1", "red"),
        "tags": lambda: tags.tags("p1"),
        "find": lambda: tags.find(all=["red"], any=["big"], none=["blue"]),
    }


async def unique_counter(redis: Any, name: str) -> Calls:
    unique = UniqueCounter(redis, name, ttl=60)
    await unique.add(_WHO)
    return {"add": lambda: unique.add("bob"), "count": unique.count, "both": lambda: unique.intersection("all", "x")}


async def unique_set(redis: Any, name: str) -> Calls:
    seen = UniqueSet(redis, name, ttl=60)
    await seen.add(_WHO)
    return {
        "add": lambda: seen.add("bob"),
        "remove": lambda: seen.remove(_WHO),
        "contains": lambda: seen.contains(_WHO),
        "count": seen.count,
        "sample": lambda: seen.sample(3),
    }


CALLS: Final[dict[str, Make]] = {
    "Activity": activity,
    "Bans": bans,
    "Barrier": barrier,
    "Cache": values(),
    "CompositeLimit": composite,
    "ConcurrencyLimit": concurrency,
    "ConsumerGroup": group,
    "Counter": counter,
    "Deque": deque,
    "Document": document,
    "FairLock": locks(FairLock),
    "FeatureFlags": flags,
    "Feed": feed,
    "FenceGuard": guard,
    "FixedWindow": limits(FixedWindow),
    "Gcra": limits(Gcra),
    "Latch": latch,
    "Leaderboard": leaderboard,
    "Leaderboard, ties shared": sharing,
    "LeakyBucket": limits(LeakyBucket),
    "Lock": locks(Lock),
    "MultiLock": locks(lambda redis, name: MultiLock(redis, [name, f"{name}2"])),
    "NearCache": values(near=NearCache(max_entries=9)),
    "PeriodicLeaderboard": periodic,
    "PriorityQueue": queues(PriorityQueue),
    "Queue": queues(Queue),
    "Quota": quota,
    "ReadWriteLock": read_write_lock,
    "Record": record,
    "Semaphore": locks(Semaphore),
    "SessionStore": sessions,
    "ShardedCounter": sharded_counter,
    "SlidingLog": limits(SlidingLog),
    "SlidingWindow": limits(SlidingWindow),
    "SocialGraph": social_graph,
    "Stack": stack,
    "TagIndex": tag_index,
    "TokenBucket": limits(TokenBucket),
    "UniqueCounter": unique_counter,
    "UniqueSet": unique_set,
    "WriteBehind": write_behind,
    "WriteThrough": write_through,
}
"""Every public pattern that keeps something in keys of its own."""
