"""That the judges of caches, feeds, requests, flags, sets, ties, counts, failovers and ends find what must not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.collections import SocialGraph, TagIndex
from tests.lab.back import BACK, absences
from tests.lab.ends import unexplained
from tests.lab.history import Call
from tests.lab.patterns import PATTERNS
from tests.lab.patterns.caches import CHECK, LEASE, SLACK, TICK
from tests.lab.patterns.web import LEASE as CLAIM


def done(operation: str, *arguments: Any, at: float, result: Any = None, number: int = 0, by: str = "a") -> Call:
    """A call that took no time."""
    return Call(by, number, "", operation, arguments, at, at, "ok", result)


def unknown(call: Call) -> Call:
    """The same, as far as its caller knows."""
    return replace(call, outcome="unknown", result=None)


def ticks(worker: str, begun: float, ended: float) -> list[Call]:
    """The signs of life of a process that runs."""
    return [done("tick", at=begun + number * TICK, by=worker) for number in range(round((ended - begun) / TICK) + 1)]


ASKED = replace(done("get", "7-1", at=1.0, result="a:2", number=1), ended=1.2)
LOADED = done("load", "7-1", 1, at=1.1, number=2)
HIT = done("get", "7-1", at=2.0, result="a:2", number=3, by="b")
ALSO = replace(done("get", "7-1", at=3.0, result="b:5", number=4, by="b"), ended=3.2)
ALSO_LOADED = done("load", "7-1", 4, at=3.1, number=5, by="b")
SLOW = replace(LOADED, ended=9.0)


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([ASKED, LOADED, HIT], 0),
        ([ASKED, LOADED, replace(HIT, result="c:9")], 1),
        ([ASKED, LOADED, done("delete", "7-1", at=1.5), HIT], 1),
        ([ASKED, LOADED, done("invalidate", "7", at=1.5), HIT], 1),
        ([ASKED, LOADED, done("set", "7-1", at=1.5, number=9), HIT], 1),
        ([ASKED, LOADED, unknown(done("delete", "7-1", at=1.5)), HIT], 0),
        ([ASKED, LOADED, done("delete", "7-2", at=1.5), HIT], 0),
        ([ASKED, LOADED, done("invalidate", "8", at=1.5), HIT], 0),
        ([done("delete", "7-1", at=0.5), ASKED, LOADED, HIT], 0),
        ([ASKED, LOADED, HIT, ALSO, ALSO_LOADED], 1),
        ([ASKED, LOADED, HIT, done("delete", "7-1", at=2.5), ALSO, ALSO_LOADED], 0),
        ([ASKED, LOADED, HIT, unknown(done("delete", "7-1", at=0.5)), ALSO, ALSO_LOADED], 0),
        ([replace(ASKED, ended=9.0), SLOW, replace(ALSO, begun=1.2), replace(ALSO_LOADED, begun=1.3)], 1),
        ([replace(ASKED, ended=9.0), SLOW, ALSO, replace(ALSO_LOADED, begun=1.0 + LEASE)], 0),
        (
            [
                *[replace(ASKED, ended=9.0), SLOW],
                *[done("delete", "7-1", at=1.15), replace(ALSO, begun=1.2), replace(ALSO_LOADED, begun=1.3)],
            ],
            0,
        ),
    ],
)
def test_a_value_too_old_or_loaded_twice_is_found(history: Sequence[Call], findings: int) -> None:
    """What was changed is not given any more, and what is there or under way is not loaded, unless there was reason."""
    assert len(PATTERNS["Cache"].findings(history)) == findings


def test_a_copy_that_lingers_is_found() -> None:
    """A copy may be out of date for as long as it is promised, and for longer in a process that stood still."""
    changed = [ASKED, LOADED, done("delete", "7-1", at=1.5)]
    soon, late = (replace(HIT, begun=at, ended=at) for at in (1.5 + CHECK, 1.6 + 2 * CHECK + SLACK))
    judge = PATTERNS["NearCache"].findings
    assert not judge([*changed, *ticks("b", 0, 9), soon])
    assert judge([*changed, *ticks("b", 0, 9), late])
    assert not judge([*changed, *ticks("b", 0, 1.6), *ticks("b", 2.4, 9), late])


STORED = [done("write", "key", "a:1", at=1.0), done("set", "key", at=1.0, number=1)]
STORED_LATER = [done("write", "key", "b:2", at=2.0, by="b"), done("set", "key", at=2.0, number=2, by="b")]


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([*STORED, *STORED_LATER, done("get", "key", at=3.0, result="b:2")], 0),
        ([*STORED, *STORED_LATER, done("get", "key", at=3.0, result="a:1")], 1),
        ([*STORED, *STORED_LATER, done("get", "key", at=3.0, result="")], 1),
        ([*STORED, *STORED_LATER, done("get", "key", at=3.0, result="c:9")], 1),
        ([*STORED, done("get", "key", at=1.5, result="a:1"), *STORED_LATER], 0),
        ([*STORED, STORED_LATER[0], unknown(STORED_LATER[1]), done("get", "key", at=3.0, result="a:1")], 0),
        ([*STORED, *STORED_LATER, done("get", "other", at=3.0, result="")], 0),
    ],
)
def test_a_read_of_what_was_written_over_is_found(history: Sequence[Call], findings: int) -> None:
    """When a write through the cache has returned, nobody reads what was there before."""
    assert len(PATTERNS["WriteThrough"].findings(history)) == findings


FIRST, SECOND = done("set", "key", at=1.0, number=1), done("set", "key", at=2.0, number=2)
ROW, LATER_ROW = done("write", {"key": "a:1"}, at=3.0), done("write", {"key": "a:2"}, at=4.0)


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([FIRST, SECOND, ROW, LATER_ROW], 0),
        ([FIRST, SECOND, LATER_ROW], 0),
        ([FIRST, SECOND, ROW], 1),
        ([FIRST, unknown(SECOND), ROW], 0),
        ([FIRST, SECOND, LATER_ROW, ROW], 1),
        ([FIRST, SECOND, done("get", "key", at=2.5, result="a:1"), LATER_ROW], 1),
        ([FIRST, SECOND, done("get", "key", at=2.5, result="a:2"), LATER_ROW], 0),
        ([FIRST, done("get", "key", at=2.5, result=None), ROW], 1),
        ([FIRST, unknown(SECOND), done("get", "key", at=2.5, result="a:1"), ROW], 0),
    ],
)
def test_a_write_that_is_lost_or_turned_back_is_found(history: Sequence[Call], findings: int) -> None:
    """What was taken for writing is written, in order, and read at once."""
    assert len(PATTERNS["WriteBehind"].findings(history)) == findings


POSTED, FOLLOWED = done("post", "ada", "hello", at=1.0), done("follow", "bob", "ada", at=2.0)
UNFOLLOWED = done("unfollow", "bob", "ada", at=3.0)


def pages(*items: str, at: float = 4.0) -> Call:
    """What Bob sees."""
    return done("read", "bob", at=at, result=[*items])


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([POSTED, FOLLOWED, pages("hello")], 0),
        ([POSTED, FOLLOWED, pages()], 1),
        ([POSTED, FOLLOWED, pages("hello", "hello")], 1),
        ([POSTED, FOLLOWED, pages("hello", "what?")], 1),
        ([unknown(POSTED), FOLLOWED, pages()], 0),
        ([unknown(POSTED), FOLLOWED, pages("hello")], 0),
        ([replace(POSTED, begun=5.0, ended=5.0), FOLLOWED, pages()], 0),
        ([POSTED, FOLLOWED, UNFOLLOWED, pages()], 0),
        ([POSTED, FOLLOWED, UNFOLLOWED, pages("hello")], 1),
    ],
)
def test_an_item_that_is_missing_or_doubled_is_found(history: Sequence[Call], findings: int) -> None:
    """A follower sees what was posted once, and nothing of whom he follows no more."""
    assert len(PATTERNS["Feed"].findings(history)) == findings


SENT = done("request", "/1", at=1.0, result=[201, False, "a:2"], number=1)
EFFECT = done("effect", "/1", 1, at=1.0, number=2)
AGAIN = done("request", "/1", at=2.0, result=[201, True, "a:2"], number=3)


def once_more(at: float) -> list[Call]:
    """Another request with its effect."""
    return [
        done("request", "/1", at=at, result=[201, False, "b:5"], number=4, by="b"),
        done("effect", "/1", 4, at=at, number=5, by="b"),
    ]


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([SENT, EFFECT, AGAIN], 0),
        ([SENT, EFFECT, replace(AGAIN, result=[409, False, "wait"])], 0),
        ([SENT, EFFECT, replace(AGAIN, result=[500, False, "what?"])], 1),
        ([SENT, EFFECT, replace(AGAIN, result=[201, True, "c:9"])], 1),
        ([SENT, EFFECT, *once_more(1.0 + CLAIM / 2)], 1),
        ([SENT, EFFECT, *once_more(1.0 + CLAIM)], 0),
        ([SENT, EFFECT, AGAIN, *once_more(1.0 + 2 * CLAIM)], 1),
        ([SENT, EFFECT, AGAIN, *once_more(1.5), replace(AGAIN, begun=9.0, ended=9.0, result=[201, True, "b:5"])], 2),
    ],
)
def test_an_effect_that_comes_again_is_found(history: Sequence[Call], findings: int) -> None:
    """An effect comes once while its lease lasts and when its answer was kept, and the answer stays what it is."""
    assert len(PATTERNS["Idempotency"].findings(history)) == findings


CHANGED = [done("set", "flag", at=1.0, result=1, number=1), done("set", "flag", at=2.0, result=2, number=2)]
LOG = [["flag", 2, "a:2"], ["flag", 1, "a:1"]]
SEEN = 2.1 + 2 * CHECK + SLACK


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([*CHANGED, done("audit", "", at=9.0, result=LOG)], 0),
        ([*CHANGED, done("audit", "", at=9.0, result=LOG[::-1])], 1),
        ([*CHANGED, done("audit", "", at=9.0, result=LOG[1:])], 1),
        ([*CHANGED, done("audit", "", at=1.5, result=LOG[1:])], 0),
        ([CHANGED[0], replace(CHANGED[1], result=1)], 1),
        ([replace(CHANGED[0], result=3), CHANGED[1]], 1),
        ([*CHANGED, done("look", "flag", at=2.1, result="a:1")], 1),
        ([*CHANGED, done("look", "flag", at=2.1, result="a:1", by="b")], 0),
        ([*CHANGED, *ticks("b", 0, 9), done("look", "flag", at=SEEN, result="a:1", by="b")], 1),
        ([*CHANGED, *ticks("b", 0, 9), done("look", "flag", at=SEEN, result="a:2", by="b")], 0),
        ([*CHANGED, *ticks("b", 0, 9), done("look", "flag", at=SEEN, result=None, by="b")], 1),
    ],
)
def test_a_change_of_a_flag_that_is_not_seen_is_found(history: Sequence[Call], findings: int) -> None:
    """A change is seen in its own process at once and elsewhere in time, undoes no other, and is in the log."""
    assert len(PATTERNS["FeatureFlags"].findings(history)) == findings


PUSHED, POPPED = done("push", at=1.0, number=1), done("pop", at=2.0, result="a:1")


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([PUSHED, POPPED], 0),
        ([PUSHED, POPPED, POPPED], 1),
        ([PUSHED], 1),
        ([PUSHED, unknown(POPPED)], 0),
        ([unknown(PUSHED)], 0),
        ([unknown(PUSHED), POPPED], 0),
        ([replace(PUSHED, outcome="fail"), POPPED], 1),
        ([POPPED], 1),
    ],
)
@pytest.mark.parametrize("name", ["Stack", "Deque"])
def test_an_item_that_is_gone_or_comes_twice_is_found(name: str, history: Sequence[Call], findings: int) -> None:
    """Each item is popped once, and none is gone without a pop that says it may be."""
    assert len(PATTERNS[name].findings(history)) == findings


NEW, KNOWN = (done("add", "set", "ada", at=at, result=new) for at, new in ((1.0, 1), (2.0, 0)))
THERE = done("contains", "set", "ada", at=3.0, result=True)


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([NEW, KNOWN, THERE], 0),
        ([NEW, NEW, THERE], 1),
        ([KNOWN, KNOWN], 1),
        ([unknown(NEW), KNOWN], 0),
        ([NEW, replace(THERE, result=False)], 1),
        ([unknown(NEW), replace(THERE, result=False)], 0),
    ],
)
def test_a_member_that_is_new_twice_is_found(history: Sequence[Call], findings: int) -> None:
    """Of all who add a member one is told that it is new, and then it is there."""
    assert len(PATTERNS["UniqueSet"].findings(history)) == findings


ADDED = done("add", "index", "p1", "red", at=1.0)
TAKEN = done("remove", "index", "p1", "red", at=2.0, result=1)
NO_TAGS: dict[str, list[str]] = {"all": [], "any": [], "none": []}
RED, NOT_RED = NO_TAGS | {"all": ["red"]}, NO_TAGS | {"none": ["red"]}
ANY, ALL = NO_TAGS | {"any": ["big", "red"]}, NO_TAGS | {"all": ["big", "red"]}


def found(search: dict[str, list[str]], *items: str, at: float = 3.0) -> Call:
    """A search by tags."""
    return done("find", "index", search, at=at, result=list(items))


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([ADDED, found(RED, "p1")], 0),
        ([ADDED, found(RED)], 1),
        ([unknown(ADDED), found(RED)], 0),
        ([unknown(ADDED), found(RED, "p1")], 0),
        ([replace(ADDED, outcome="fail"), found(RED, "p1")], 1),
        ([found(RED, "p1")], 1),
        ([ADDED, found(RED, "p2", "p1")], 1),
        ([ADDED, TAKEN, found(RED)], 0),
        ([ADDED, TAKEN, found(RED, "p1")], 1),
        ([ADDED, unknown(TAKEN), found(RED, "p1")], 0),
        ([ADDED, unknown(TAKEN), found(RED)], 0),
        ([unknown(ADDED), TAKEN, found(RED, "p1")], 0),
        ([ADDED, TAKEN, done("add", "index", "p1", "red", at=2.5), found(RED)], 1),
        ([ADDED, done("remove", "index", "p1", at=2.0, result=1), found(RED, "p1")], 1),
        ([ADDED, done("remove", "index", "p1", at=2.0, result=0)], 1),
        ([replace(TAKEN, result=0, begun=0.5, ended=0.5), ADDED], 0),
        ([ADDED, TAKEN, replace(TAKEN, begun=2.5, ended=2.5)], 1),
        ([ADDED, found(ANY, "p1"), found(ALL), found(NOT_RED)], 0),
        ([ADDED, found(ANY)], 1),
        ([ADDED, found(ALL, "p1")], 1),
        ([ADDED, found(NOT_RED, "p1")], 1),
        ([ADDED, done("add", "index", "p2", "big", at=2.0), found(NOT_RED)], 1),
        ([ADDED, done("tags", "index", "p1", at=3.0, result=["red"])], 0),
        ([ADDED, done("tags", "index", "p1", at=3.0, result=["big"])], 2),
        ([ADDED, found(RED, at=0.5)], 0),
        ([ADDED, done("find", "other", RED, at=3.0, result=["p1"])], 1),
    ],
)
def test_an_item_found_for_no_reason_or_not_found_is_found(history: Sequence[Call], findings: int) -> None:
    """A tag that was added is found, and one that nobody added, or that was taken since, is not."""
    assert len(PATTERNS["TagIndex"].findings(history)) == findings


FOLLOWS = done("follow", "graph", "ada", "bob", at=1.0, result=True)
LEAVES = done("unfollow", "graph", "ada", "bob", at=2.0, result=True)


def seen(what: str, one: str, *people: str) -> Call:
    """A look at somebody's neighbours, or at those whom somebody and bob follow."""
    return done(what, "graph", one, "bob", at=3.0, result=list(people))


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        ([FOLLOWS, seen("following", "ada", "bob"), seen("followers", "bob", "ada")], 0),
        ([FOLLOWS, seen("following", "ada", "bob"), seen("followers", "bob")], 1),
        ([FOLLOWS, seen("following", "ada"), seen("followers", "bob", "ada")], 1),
        ([FOLLOWS, LEAVES, seen("following", "ada"), seen("followers", "bob", "ada")], 1),
        ([unknown(FOLLOWS), seen("following", "ada"), seen("followers", "bob")], 0),
        ([FOLLOWS, FOLLOWS], 0),
        ([FOLLOWS, replace(FOLLOWS, begun=2.0, ended=2.0)], 1),
        ([FOLLOWS, replace(LEAVES, result=False)], 1),
        ([FOLLOWS, unknown(LEAVES), replace(LEAVES, result=False, begun=3.0, ended=3.0)], 0),
        ([replace(FOLLOWS, result=False)], 1),
        ([FOLLOWS, done("follows", "graph", "ada", "bob", at=3.0, result=True)], 0),
        ([FOLLOWS, done("follows", "graph", "ada", "bob", at=3.0, result=False)], 1),
        ([FOLLOWS, seen("mutual", "ada")], 0),
        ([FOLLOWS, seen("mutual", "ada", "bob")], 1),
        ([done("follow", "graph", one, "cy", at=1.0, result=True) for one in ("ada", "bob")], 0),
        (
            [done("follow", "graph", one, "cy", at=1.0, result=True) for one in ("ada", "bob")]
            + [seen("mutual", "ada")],
            1,
        ),
    ],
)
def test_a_follower_whom_one_side_does_not_see_is_found(history: Sequence[Call], findings: int) -> None:
    """Who follows is seen from both sides until they do not any more, and of each change one is told that it is new."""
    assert len(PATTERNS["SocialGraph"].findings(history)) == findings


async def test_ties_that_one_side_has_alone_are_found(pipelined: Redis, name: str) -> None:
    """What is left must agree: each tie is seen from both sides, and items are those that have a tag."""
    index, graph = (replace(PATTERNS[kind], name=f"{kind}:{name}") for kind in ("TagIndex", "SocialGraph"))  # type: ignore[type-var]
    await TagIndex(pipelined, f"{index.name}:1").add("p1", "red", "big")
    await SocialGraph(pipelined, f"{graph.name}:1").follow("ada", "bob")
    assert [await pattern.left(pipelined) for pattern in (index, graph)] == [[], []]
    await pipelined.srem(f"arp:{{{index.name}:1}}:tagged:red", "p1")
    await pipelined.sadd(f"arp:{{{index.name}:1}}:items", "p2")
    await pipelined.sadd(f"arp:{{{graph.name}:1}}:followers:cy", "ada")
    assert [len(await pattern.left(pipelined)) for pattern in (index, graph)] == [2, 1]


@pytest.mark.parametrize("name", ["ShardedCounter", "UniqueCounter", "Activity"])
def test_a_count_of_too_few_or_too_many_is_found(name: str) -> None:
    """A count is no less than what was counted before, and no more than what could have been."""
    known = [done("add", at=float(number)) for number in range(100)]
    history = [*known, *[unknown(done("add", at=100.0))] * 10]
    judge = PATTERNS[name].findings
    assert not [count for count in (100, 110) if judge([*history, done("count", at=200.0, result=count)])]
    assert [count for count in (90, 120) if judge([*history, done("count", at=200.0, result=count)])] == [90, 120]


def test_who_does_not_come_back_is_found() -> None:
    """Who tries after a failover and lives on must succeed soon; nothing is asked of who is killed or does nothing."""
    before, tried = done("put", at=1.0), replace(done("put", at=2.5), outcome="fail")
    later = replace(done("put", at=3.0 + BACK), outcome="fail")
    assert [*absences([before, tried, later], [2.0])]
    assert not [*absences([before, tried], [2.0])]
    assert not [*absences([before, later], [2.0])]
    assert not [*absences([before, tried, done("put", at=4.0), later], [2.0])]


@pytest.mark.parametrize("said", [None, "ConnectionError", "LockTimeoutError", "NOREPLICAS Not enough good replicas"])
def test_an_error_of_a_storm_is_no_finding(said: str | None) -> None:
    """What a network and servers do to a call, and the death of its process, explain its end."""
    call = done("put", at=1.0, result=said)
    assert not [*unexplained([replace(call, outcome="fail"), replace(call, outcome="unknown")])]


@pytest.mark.parametrize("said", ["NoScriptError", "TransportError", "ERR Lua redis lib command arguments"])
def test_an_error_that_no_storm_explains_is_found(said: str) -> None:
    """A call that ends with an error of a script, of an argument or of the library's inside is told."""
    call = done("put", at=1.0, result=said)
    assert len([*unexplained([call, replace(call, outcome="fail"), replace(call, outcome="unknown")])]) == 2
