"""The leaderboard: its ranks in every mode, its ties, its pages, its cap, and what it refuses."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from aioredis_patterns.client import connect
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from aioredis_patterns.errors import OutcomeUnknownError
from aioredis_patterns.leaderboards import Leaderboard, PeriodicLeaderboard, RankedMember
from tests.support.faults import Fault, FaultProxy

SCORES = {"ada": 30, "bob": 20, "cy": 20, "dee": 10}


async def filled(redis: Redis, name: str, **options: Any) -> Leaderboard:
    board = Leaderboard(redis, name, **options)
    for member, score in SCORES.items():
        await board.set(member, score)
    return board


def shown(rows: list[RankedMember]) -> list[tuple[str, float | None, int | None]]:
    return [(row.member, row.score, row.rank) for row in rows]


async def test_set_increment_and_submit(redis: Redis, name: str) -> None:
    """A score is set, added to, or kept where it is the better one; 0 and negative scores are scores."""
    board = Leaderboard(redis, name)
    await board.set("ada", 0)
    assert (await board.score("ada"), await board.score("nobody")) == (0.0, None)
    assert [await board.increment("ada", 2.5), await board.increment("bob", -1)] == [2.5, -1.0]
    assert [await board.submit("ada", 2), await board.submit("ada", 2.5), await board.submit("ada", 3)] == [
        False,
        False,
        True,
    ]
    assert await board.submit("new", -7)
    assert [await board.increment("part", 0.1) for _ in range(3)] == [0.1, 0.1 + 0.1, 0.1 + 0.1 + 0.1]
    await board.remove("part")
    assert shown(await board.top(10)) == [("ada", 3.0, 1), ("bob", -1.0, 2), ("new", -7.0, 3)]


async def test_less_may_be_better(redis: Redis, name: str) -> None:
    """In ascending order the least score leads, and submit keeps the lesser."""
    board = await filled(redis, name, order="asc", ties="first")
    assert [row.member for row in await board.top(4)] == ["dee", "bob", "cy", "ada"]
    assert [await board.submit("ada", 31), await board.submit("ada", 5)] == [False, True]
    assert await board.rank("ada") == 1


@pytest.mark.parametrize(("order", "better"), [("desc", 0.5), ("asc", -0.5)])
@pytest.mark.parametrize("ties", ["shared", "first"])
async def test_only_a_better_score_is_taken(redis: Redis, name: str, order: Any, ties: Any, better: float) -> None:
    """What is submitted is told to be better only if it is, by however little, and an equal one is not."""
    board = Leaderboard(redis, name, order=order, ties=ties)
    told = [await board.submit("ada", score) for score in (10, 10, 10 - better, 10 + better)]
    assert (told, await board.score("ada")) == ([True, False, False, True], 10 + better)


@pytest.mark.parametrize("ties", ["shared", "first"])
@pytest.mark.parametrize(
    ("mode", "ranks"), [("ordinal", [1, 2, 3, 4]), ("competition", [1, 2, 2, 4]), ("dense", [1, 2, 2, 3])]
)
async def test_ranks_of_each_mode(redis: Redis, name: str, mode: Any, ties: Any, ranks: list[int]) -> None:
    """Equals share a rank or not as the mode says: in a page, around a member, among friends and one by one."""
    board = await filled(redis, name, rank_mode=mode, ties=ties)
    rows = await board.top(10)
    assert [row.rank for row in rows] == ranks
    assert await board.page(2, 5) == rows[2:]
    assert [await board.page(9, 5), await board.around("nobody", 5)] == [[], []]
    assert await board.around(rows[3].member, 2) == rows[2:]
    assert await board.among(row.member for row in rows) == rows
    assert [row.rank for row in await board.among(reversed(SCORES))] == ranks
    assert [await board.rank(row.member) for row in rows] == ranks
    await board.remove("ada")
    assert [row.rank for row in await board.top(10)] == [rank - 1 for rank in ranks[1:]]
    await board.remove("cy")
    assert [row.rank for row in await board.top(10)] == [await board.rank("bob"), await board.rank("dee")] == [1, 2]


async def test_who_came_first_stays_ahead(redis: Redis, name: str) -> None:
    """Of equals the first to reach the score leads, by whatever verb; one who keeps it keeps the place."""
    board = Leaderboard(redis, name, ties="first")
    await board.set("zoe", 5)
    await board.set("ada", 5)
    await board.increment("mia", 5)
    assert [row.member for row in await board.top(3)] == ["zoe", "ada", "mia"]
    await board.set("zoe", 5)
    await board.increment("zoe", 0)
    assert [row.member for row in await board.top(3)] == ["zoe", "ada", "mia"]
    await board.increment("zoe", 1)
    await board.increment("zoe", -1)
    assert [row.member for row in await board.top(3)] == ["ada", "mia", "zoe"]


@pytest.mark.parametrize("ties", ["shared", "first"])
async def test_around_always_has_as_many_rows(redis: Redis, name: str, ties: Any) -> None:
    """The rows around a member are as many as were asked for, with the member among them, at either end too."""
    board = Leaderboard(redis, name, ties=ties)
    await asyncio.gather(*(board.set(f"m{number:02}", -number) for number in range(20)))
    for number in range(20):
        rows = await board.around(f"m{number:02}", 5)
        start = min(max(number - 2, 0), 15)
        assert [(row.member, row.rank) for row in rows] == [(f"m{at:02}", at + 1) for at in range(start, start + 5)]
    assert len(await board.around("m07", 99)) == 20
    assert await board.around("nobody", 5) == []


async def test_friends_who_are_not_there_are_stated(redis: Redis, name: str) -> None:
    """Among friends each has the rank of the whole board, and one who is not on it has none."""
    board = await filled(redis, name)
    assert shown(await board.among(["dee", "nobody", "ada", "dee"])) == [
        ("ada", 30.0, 1),
        ("dee", 10.0, 4),
        ("nobody", None, None),
    ]
    assert await board.among([]) == []
    for one in ("ada", b"ada"):
        with pytest.raises(TypeError, match="several"):
            await board.among(one)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["ordinal", "dense"])
@pytest.mark.parametrize("ties", ["shared", "first"])
async def test_a_cap_drops_the_worst(redis: Redis, name: str, ties: Any, mode: Any) -> None:
    """A board with a cap keeps its best members, and nothing of those it drops."""
    board = Leaderboard(redis, name, ties=ties, rank_mode=mode, maxlen=3, meta=True)
    for number in range(10):
        await board.set(f"m{number}", number, {"n": number})
    assert [(row.member, row.meta) for row in await board.top(9)] == [(f"m{n}", {"n": n}) for n in (9, 8, 7)]
    assert await board.size() == 3
    sizes = [await redis.hlen(f"arp:{{{name}}}:{part}") for part in ("notes", "counts", "places")]
    assert sizes == [3, 3 if mode == "dense" else 0, 3 + 1 if ties == "first" else 0]  # and the last place given


@pytest.mark.parametrize("ties", ["shared", "first"])
async def test_a_cap_of_one_keeps_the_best(redis: Redis, name: str, ties: Any) -> None:
    """Of a board for one member the best is left."""
    board = Leaderboard(redis, name, ties=ties, maxlen=1)
    for member, score in SCORES.items():
        await board.set(member, score)
    assert shown(await board.top(9)) == [("ada", 30.0, 1)]


async def test_a_board_that_gets_a_cap_shrinks_step_by_step(pipelined: Redis, name: str) -> None:
    """Of a board that has far more members than its new cap each write drops a thousand, so no write takes long."""
    await pipelined.zadd(f"arp:{{{name}}}:board", {f"m{number}": number for number in range(2500)})
    board, sizes = Leaderboard(pipelined, name, maxlen=10), []
    for _ in range(4):
        await board.set("last", -1)
        sizes.append(await board.size())
    assert sizes == [1501, 502, 10, 10]
    assert [row.member for row in await board.top(99)] == [f"m{number}" for number in range(2499, 2489, -1)]
    await pipelined.zadd(f"arp:{{{name}:all}}:board", {f"m{number}": number for number in range(2500)})
    assert await board.merge([board, Leaderboard(pipelined, f"{name}:all")]) == 10


async def test_metadata_come_with_the_rows(redis: Redis, name: str) -> None:
    """What is stored beside a score is read in the same trip, kept by later writes and gone with the member."""
    board = Leaderboard(redis, name, meta=True)
    await board.set("ada", 1, {"name": "Ada Ł"})
    await board.increment("ada", 1)
    assert (await board.get("ada")).meta == {"name": "Ada Ł"}
    assert await board.remove("ada", "nobody") == 1
    await board.set("ada", 1)
    assert (await board.get("ada")).meta is None


async def test_percentiles(redis: Redis, name: str) -> None:
    """A member's percentile is the share of the others who are worse, and a score can be asked for a share."""
    board = Leaderboard(redis, name, ties="first")
    assert await board.percentile("m1") is None
    assert await board.score_at(50) is None
    for number in range(1, 101):
        await board.set(f"m{number}", number)
    assert [await board.percentile(f"m{number}") for number in (1, 100, 34)] == [0.0, 100.0, pytest.approx(100 / 3)]
    assert [await board.score_at(share) for share in (0, 1, 50, 99.5, 100)] == [1, 1, 50, 100, 100]
    less = Leaderboard(redis, name, ties="first", order="asc")
    assert [await less.percentile(f"m{number}") for number in (1, 100, 67)] == [100.0, 0.0, pytest.approx(100 / 3)]


@pytest.mark.parametrize("ties", ["shared", "first"])
async def test_boards_are_merged(redis: Redis, name: str, ties: Any) -> None:
    """A merged board has each member's sum, least or greatest score, weighted, in the place of what it had."""
    one, two = Leaderboard(redis, f"{name}1"), Leaderboard(redis, f"{name}2", ties="first")
    both = Leaderboard(redis, name, ties=ties, rank_mode="dense")
    await both.set("old", 99)
    for member, score in {"ada": 1, "bob": 5}.items():
        await one.set(member, score)
    for member, score in {"ada": 10, "cy": 7}.items():
        await two.set(member, score)
    assert await both.merge([one, two]) == 3
    assert shown(await both.top(9)) == [("ada", 11.0, 1), ("cy", 7.0, 2), ("bob", 5.0, 3)]
    await both.merge([one, two], weights=[2, 1], how="max")
    rows = await both.top(9)
    assert {row.member: row.score for row in rows} == {"ada": 10.0, "bob": 10.0, "cy": 7.0}
    assert [row.rank for row in rows] == [1, 1, 2]


@pytest.mark.parametrize("ties", ["shared", "first"])
async def test_a_merged_board_keeps_its_cap(redis: Redis, name: str, ties: Any) -> None:
    """Of all whom a merge brings together the best are kept, as many as the board may have."""
    best = Leaderboard(redis, f"{name}:best", ties=ties, rank_mode="dense", maxlen=1)
    assert await best.merge([await filled(redis, name, ties=ties)]) == 1
    assert shown(await best.top(9)) == [("ada", 30.0, 1)]
    assert await redis.zcard(f"arp:{{{name}:best}}:levels") == 1


@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_equals_keep_their_order_when_boards_are_merged(redis: Redis, name: str, order: Any) -> None:
    """Who was ahead of an equal on a board that is merged is ahead on the merged one too."""
    board, merged = (Leaderboard(redis, f"{name}{number}", ties="first", order=order) for number in range(2))
    for member in ("zoe", "ada", "mia"):
        await board.set(member, 5)
    await merged.merge([board])
    assert [row.member for row in await merged.top(9)] == ["zoe", "ada", "mia"]


@pytest.mark.parametrize("mode", ["competition", "dense"])
async def test_nothing_is_as_much_as_less_than_nothing(redis: Redis, name: str, mode: Any) -> None:
    """A score of -0.0 is 0, however it came about: both share a rank, and who is behind them is not further behind."""
    board, turned = (Leaderboard(redis, f"{name}{number}", rank_mode=mode) for number in range(2))
    for member, score in {"a" * 100: 0, "bob": -0.0, "cy": -1}.items():
        await board.set(member, score)
    assert [row.rank for row in await board.top(9)] == ([1, 1, 3] if mode == "competition" else [1, 1, 2])
    await turned.merge([board, board], weights=[-1, 0], how="max")
    await turned.set("dee", 0)
    await turned.set("eve", -2)
    assert [row.rank for row in await turned.top(9)] == ([1, 2, 2, 2, 5] if mode == "competition" else [1, 2, 2, 2, 3])
    assert await turned.rank("eve") == (5 if mode == "competition" else 3)


async def test_a_snapshot_stands_still(redis: Redis, name: str) -> None:
    """A copy is paged through as it was, and expires."""
    board = await filled(redis, name, ties="first", rank_mode="dense", meta=True)
    await board.set("ada", 30, "Ada")
    before = await board.top(10)
    copy = await board.snapshot(ttl=60)
    await board.set("new", 99)
    await board.set("ada", 30, "another")
    assert await copy.page(0, 2) + await copy.page(2, 2) == before
    assert await copy.among(SCORES) == before
    keys = [key async for key in redis.scan_iter(f"arp:{{{name}}}:*:copy:*")]
    assert [0 < await redis.ttl(key) <= 60 for key in keys] == [True] * 4


class Level(int, Enum):
    """A number with a name, by which it prints."""

    HIGH = 3


class Measured(float):
    """A number that prints as a call, as those of numpy do."""

    def __repr__(self) -> str:
        return f"measured({float(self)})"

    __str__ = __repr__


@pytest.mark.parametrize("ties", ["shared", "first"])
async def test_a_number_of_another_class_is_its_value(redis: Redis, name: str, ties: Any) -> None:
    """A score, a weight or a count is what it is worth, whatever its class prints it as."""
    board = Leaderboard(redis, name, ties=ties, maxlen=Level.HIGH)
    await board.set("ada", Measured(1.5))
    assert [await board.increment("ada", Level.HIGH), await board.submit("ada", Measured(7.5))] == [4.5, True]
    assert await board.merge([board], weights=[Measured(2.0)]) == 1
    assert shown(await board.top(Level.HIGH)) == shown(await board.around("ada", Level.HIGH)) == [("ada", 15.0, 1)]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 2**53 + 1, "7", None, True])
async def test_what_is_no_score_is_refused(pipelined: Redis, name: str, score: Any) -> None:
    """What a double does not hold is refused before anything is sent."""
    board = Leaderboard(pipelined, name)
    for write in (board.set, board.increment, board.submit):
        with pytest.raises((ValueError, TypeError)):
            await write("ada", score)
    assert not await pipelined.exists(f"arp:{{{name}}}:board")


async def test_a_sum_beyond_all_bounds_changes_nothing(redis: Redis, name: str) -> None:
    """An increment to infinity is an error, and the score is what it was."""
    board = Leaderboard(redis, name)
    await board.set("ada", 1.7e308)
    with pytest.raises(OverflowError):
        await board.increment("ada", 1.7e308)
    assert await board.score("ada") == 1.7e308


@pytest.mark.parametrize("member", ["", "x" * 513, b"ada", None, True, "\ud800"])
async def test_what_is_no_member_is_refused(pipelined: Redis, name: str, member: Any) -> None:
    """A member is a text of 1 to 512 characters, or an int."""
    with pytest.raises((ValueError, TypeError)):
        await Leaderboard(pipelined, name).set(member, 1)


async def test_any_text_is_a_member(redis: Redis, name: str) -> None:
    """Braces, line ends, other scripts and digits come back as they were; an int is its digits."""
    board = Leaderboard(redis, name, ties="first")
    members = ["{a}", "a\r\nb", "\0", "łódź", "*?[x]", "0000000000ff"]
    for member in [*members, 42]:
        await board.set(member, 1)
    assert [row.member for row in await board.top(9)] == [*members, "42"]


@pytest.mark.parametrize(
    "nonsense", [{"order": "up"}, {"ties": "x"}, {"rank_mode": "olympic"}, {"maxlen": 0}, {"maxlen": 1.5}]
)
async def test_nonsense_is_refused(pipelined: Redis, name: str, nonsense: Any) -> None:
    """A board that makes no sense is refused when it is made, a page when it is asked for."""
    with pytest.raises((ValueError, TypeError)):
        Leaderboard(pipelined, name, **nonsense)
    for offset, count in ((-1, 1), (0, 0), (0, True)):
        with pytest.raises((ValueError, TypeError)):
            await Leaderboard(pipelined, name).page(offset, count)


async def test_a_lost_reply_is_told_and_never_counted_twice(server: EmbeddedServer, name: str) -> None:
    """An increment whose reply is lost raises, and counted once."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        board = Leaderboard(redis, name)
        await board.increment("ada", 1)
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await board.increment("ada", 1)
        assert await board.score("ada") == 2.0


@pytest.mark.parametrize("call", ["remove", "merge"])
async def test_nothing_is_done_twice_by_itself(server: EmbeddedServer, name: str, call: str) -> None:
    """A removal or a merge whose reply is lost is told so, and not repeated: it would answer or do something else."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        board = Leaderboard(redis, name)
        await board.set("ada", 2)
        proxy.add(Fault("cut_after", "EVALSHA"))
        with pytest.raises(OutcomeUnknownError):
            await (board.remove("ada") if call == "remove" else board.merge([board, board]))
        assert await board.score("ada") == (None if call == "remove" else 4.0)


async def test_a_merge_beyond_all_bounds_changes_nothing(redis: Redis, name: str) -> None:
    """Where a merged score would be infinite, or none, the board is what it was."""
    one, two, both = (Leaderboard(redis, f"{name}{number}") for number in range(3))
    await both.set("old", 1)
    await one.set("ada", 1.7e308)
    await two.set("ada", -1.7e308)
    for boards, weights in (([one, one], [1, 1]), ([one, two], [10, 10])):
        with pytest.raises(OverflowError):
            await both.merge(boards, weights=weights)
    assert [row.member for row in await both.top(9)] == ["old"]


async def test_a_sum_stays_exact(redis: Redis, name: str) -> None:
    """An increment that would leave the exact integers is an error, and the score is what it was."""
    board = Leaderboard(redis, name)
    await board.set("ada", 2**53 - 1)
    assert await board.increment("ada", 1) == 2**53
    for by in (1, 2, 2**53):
        with pytest.raises(OverflowError):
            await board.increment("ada", by)
    assert await board.score("ada") == 2**53


async def test_a_crowd_keeps_the_parts_together(redis: Redis, name: str) -> None:
    """After many writes at one time the distinct scores are those of the members, each with its number."""
    board = Leaderboard(redis, name, ties="first", rank_mode="dense", maxlen=30)
    await asyncio.gather(*(board.increment(f"m{number % 40}", number % 7) for number in range(400)))
    rows = await board.top(40)
    scores = [row.score for row in rows]
    assert (len(rows), scores) == (30, sorted(scores, reverse=True))
    ranks = {score: rank for rank, score in enumerate(dict.fromkeys(scores), 1)}
    assert [row.rank for row in rows] == [ranks[row.score] for row in rows]
    assert await redis.zcard(f"arp:{{{name}}}:levels") == len(ranks)


async def test_a_board_moves_to_another_server(redis: Redis, name: str) -> None:
    """Dense ranks of a board that Redis 7.0 has written are right on servers that write fractions in fewer digits."""
    board = Leaderboard(redis, name, rank_mode="dense")
    key, levels, counts = (f"arp:{{{name}}}:{part}" for part in ("board", "levels", "counts"))
    await redis.zadd(key, {"ada": 0.1, "bob": 0.1})
    await redis.zadd(levels, {"0.10000000000000001": 0.1})
    await redis.hset(counts, "0.10000000000000001", "2")
    await board.increment("ada", 1)
    await board.set("bob", 0)
    await board.set("cy", 0.1)
    assert [(row.member, row.rank) for row in await board.top(9)] == [("ada", 1), ("cy", 2), ("bob", 3)]
    assert await board.remove("cy") == 1
    assert await board.rank("bob") == 2


async def test_boards_work_in_a_cluster() -> None:
    """All keys of a board are in one slot, its copies as well."""
    async with embedded_cluster(masters=3, replicas=0) as cluster, connect(cluster.url) as redis:
        boards = [await filled(redis, f"board{number}", ties="first", rank_mode="dense") for number in range(6)]
        for board in boards:
            copy = await board.snapshot(ttl=60)
            assert await copy.top(9) == await board.top(9)
            assert await board.rank("dee") == 3
            with pytest.raises(RedisError, match="slot"):
                await boards[0].merge([board, boards[1], boards[2]])


async def test_periods_work_in_a_cluster() -> None:
    """The boards of all periods of a game are in one slot, so they are written together there too, and kept."""
    async with embedded_cluster(masters=3, replicas=0) as cluster, connect(cluster.url) as redis:
        for number in range(6):
            game = PeriodicLeaderboard(redis, f"game{number}", ties="first")
            assert await game.increment("ada", 2) == 2.0
            assert await game.submit("bob", 1)
            for period in ("daily", "weekly", "all"):
                assert [row.member for row in await game.board(period).top(9)] == ["ada", "bob"]
            assert await (await game.archive("weekly", ttl=60)).size() == 0
