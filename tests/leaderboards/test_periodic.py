"""The boards of periods: written together, by the server's clock, in a time zone, and gone when their time has come."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns._core.periods import Calendar
from aioredis_patterns.leaderboards import PeriodicLeaderboard
from aioredis_patterns.leaderboards.calendar import Spans
from aioredis_patterns.leaderboards.standings import RankedMember

NOON = datetime(2026, 12, 31, 12, tzinfo=UTC)


def names(rows: list[RankedMember]) -> list[str]:
    return [row.member for row in rows]


async def test_one_write_counts_in_every_period(redis: Redis, name: str) -> None:
    """A score is on the boards of all periods that the server's time belongs to."""
    game = PeriodicLeaderboard(redis, name, periods=("daily", "weekly", "monthly", "all"), tz="Europe/Berlin")
    assert await game.increment("ada", 2) == 2.0
    assert await game.increment("ada", 3) == 5.0
    await game.set("bob", 9)
    assert await game.submit("bob", 8) is False
    for period in ("daily", "weekly", "monthly", "all"):
        assert [(row.member, row.score) for row in await game.board(period).top(9)] == [("bob", 9.0), ("ada", 5.0)]


async def test_only_the_board_of_all_times_lasts(redis: Redis, name: str) -> None:
    """The keys of a period expire when its end and the time it is kept have passed; nothing else changes that."""
    game = PeriodicLeaderboard(redis, name, periods=("daily", "all"), tz="UTC", keep=100, ties="first")
    await game.increment("ada")
    stop = game.period("daily")[1].timestamp() + 100
    await game.increment("ada")
    keys = [key async for key in redis.scan_iter(f"arp:{{{name}}}:*")]
    lives = [await redis.pttl(key) / 1000 for key in keys]
    seconds, _ = await redis.time()
    assert (len(keys), sum(life < 0 for life in lives)) == (4, 2)
    assert all(abs(seconds + life - stop) < 3 for life in lives if life > 0)


async def test_a_wrong_clock_writes_to_the_right_board(
    redis: Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose clock is days off is put right by the server before anything is written."""
    wrong = PeriodicLeaderboard(redis, name, periods=("daily", "all"), tz="UTC")
    right = PeriodicLeaderboard(redis, name, periods=("daily", "all"), tz="UTC")
    monkeypatch.setattr(wrong._spans, "_ahead_us", -3 * 86_400_000_000)
    await wrong.increment("ada")
    assert names(await right.board("daily").top(9)) == ["ada"]
    assert abs(wrong.resets_in("daily") - right.resets_in("daily")) < 5
    assert names(await right.board("daily", previous=3).top(9)) == []


async def test_the_time_of_a_board_is_the_servers(pipelined: Redis, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose clock is wrong is told the time of the server, to the microsecond."""
    game, told, follow = PeriodicLeaderboard(pipelined, name), list[int](), Spans.follow

    def noted(spans: Spans, now_us: int) -> None:
        told.append(now_us)
        follow(spans, now_us)

    monkeypatch.setattr(Spans, "follow", noted)
    monkeypatch.setattr(game._spans, "_ahead_us", -3 * 86_400_000_000)
    times = [await pipelined.time()]
    await game.increment("ada")
    times.append(await pipelined.time())
    before, after = (seconds * 1_000_000 + microseconds for seconds, microseconds in times)
    assert [before <= now <= after for now in told] == [True]


async def test_the_board_of_each_period_is_whole(redis: Redis, name: str) -> None:
    """Ranks, ties and metadata are those of each board alone, and a score that is set is so on all of them."""
    game = PeriodicLeaderboard(
        redis, name, periods=("daily", "weekly", "all"), ties="first", rank_mode="dense", meta=True
    )
    await game.set("zoe", 5, "Zoe")
    await game.set("eve", 1, "Eve")
    await game.increment("ada", 5, "Ada")
    await game.set("eve", 1.7e308)
    await game.set("eve", 1.6e308)
    expected = [
        RankedMember("eve", 1.6e308, 1, "Eve"),
        RankedMember("zoe", 5.0, 2, "Zoe"),
        RankedMember("ada", 5.0, 2, "Ada"),
    ]
    for period in ("daily", "weekly", "all"):
        board = game.board(period)
        assert await board.top(9) == expected
        assert [await board.get(row.member) for row in expected] == expected


async def test_a_sum_beyond_all_bounds_changes_no_board(redis: Redis, name: str) -> None:
    """Where the sum of one period would be no number, the score counts in none."""
    game = PeriodicLeaderboard(redis, name, periods=("daily", "all"), tz="UTC")
    await game.increment("ada", 1.7e308, at=NOON)
    with pytest.raises(OverflowError):
        await game.increment("ada", 1.7e308)
    assert names(await game.board("daily").top(9)) == []


async def test_an_event_of_another_time_counts_there(redis: Redis, name: str) -> None:
    """A late event is on the boards of its own time, not on those of today, and previous periods can be read."""
    game = PeriodicLeaderboard(redis, name, periods=("monthly", "all"), tz="UTC", keep=10 * 365 * 86_400 - 1)
    then, later = datetime(2025, 12, 31, 12, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    await game.increment("ada", at=then)
    assert names(await game.board("monthly", at=then).top(9)) == ["ada"]
    assert names(await game.board("monthly").top(9)) == []
    assert names(await game.board("monthly", at=later, previous=2).top(9)) == ["ada"]
    assert names(await game.board("all").top(9)) == ["ada"]
    with pytest.raises(ValueError, match="time zone"):
        await game.increment("ada", at=datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "moment",
    [datetime(2026, 1, 1), datetime(1969, 12, 31, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), NOON.date(), 7],
)
async def test_what_is_no_moment_of_an_event_is_refused(pipelined: Redis, name: str, moment: Any) -> None:
    """An event has a moment with a time zone, of the years in which a board can expire; any other leaves no key."""
    game = PeriodicLeaderboard(pipelined, name)
    with pytest.raises((ValueError, TypeError), match="moment"):
        await game.increment("ada", at=moment)
    with pytest.raises((ValueError, TypeError), match="moment"):
        game.board("daily", at=moment)
    assert await pipelined.keys(f"arp:{{{name}}}:*") == []


@pytest.mark.parametrize(
    ("week_start", "moment", "start"),
    [(0, NOON, 28), (6, NOON, 27), (3, NOON, 31), (4, NOON, 25)],
)
def test_a_week_begins_when_it_is_told_to(week_start: int, moment: datetime, start: int) -> None:
    """The last days of a year belong to the week that began before, on the day that was chosen."""
    begins, ends = Calendar("week", "UTC", week_start).containing(round(moment.timestamp() * 1_000_000))
    assert datetime.fromtimestamp(begins / 1_000_000, UTC) == datetime(2026, 12, start, tzinfo=UTC)
    assert ends - begins == 7 * 86_400_000_000


def test_a_day_of_25_hours_is_one_day(pipelined_definition: PeriodicLeaderboard) -> None:
    """Where the clocks are put back, the day is an hour longer."""
    begin, end = pipelined_definition.period("daily", at=datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert (end - begin).total_seconds() == 25 * 3600


@pytest.fixture
def pipelined_definition() -> PeriodicLeaderboard:
    return PeriodicLeaderboard(Redis(), "game", periods=("daily",), tz="Europe/Berlin")


@pytest.mark.parametrize(
    "nonsense", [{"periods": ()}, {"periods": ("hourly",)}, {"periods": ("all", "all")}, {"week_start": 7}, {"tz": "X"}]
)
def test_nonsense_is_refused(nonsense: Any) -> None:
    """Periods that make no sense are refused when the board is made, and one it has not when it is asked for."""
    with pytest.raises(ValueError, match=r"period|week_start|time zone"):
        PeriodicLeaderboard(Redis(), "game", **nonsense)
    with pytest.raises(ValueError, match="the periods of this board"):
        PeriodicLeaderboard(Redis(), "game", periods=("daily",)).board("weekly")


@pytest.mark.parametrize("previous", [-1, 10_000_000, 1.5, True, None])
def test_boards_that_cannot_be_kept_are_not_looked_for(previous: Any) -> None:
    """How many periods ago is a whole number, of which so many can have been kept."""
    game = PeriodicLeaderboard(Redis(), "game")
    with pytest.raises((ValueError, TypeError), match="previous must be"):
        game.board("daily", previous=previous)
    assert game.board("daily", previous=3653).name == "game"


async def test_all_boards_agree_after_a_crowd(redis: Redis, name: str) -> None:
    """However many write at one time, the sums of all periods are the same."""
    game = PeriodicLeaderboard(redis, name, periods=("daily", "weekly", "all"), tz="UTC")
    await asyncio.gather(*(game.increment(f"m{number % 5}", number) for number in range(100)))
    boards = [await game.board(period).top(9) for period in ("daily", "weekly", "all")]
    assert boards[0] == boards[1] == boards[2]
    assert sum(row.score or 0 for row in boards[0]) == sum(range(100))


@pytest.mark.parametrize("rank_mode", ["ordinal", "competition", "dense"])
@pytest.mark.parametrize("ties", ["shared", "first"])
async def test_final_standings_are_kept_once(redis: Redis, name: str, ties: Any, rank_mode: Any) -> None:
    """The best of a period that has ended are kept as they were, whatever comes late, and expire with their ttl."""
    game = PeriodicLeaderboard(
        redis, name, periods=("daily", "all"), keep=3650 * 86_000, ties=ties, rank_mode=rank_mode, meta=True
    )
    day = datetime(2026, 1, 5, 12, tzinfo=UTC)
    for number, member in enumerate("gfedcba"):
        await game.set(member, number // 2, {"n": number}, at=day)
    final = await game.archive("daily", at=day, previous=0, count=4, ttl=1000)
    before = await game.board("daily", at=day).top(4)
    assert await final.top(9) == before
    await game.set("late", 99, at=day)
    again = await game.archive("daily", at=datetime(2026, 1, 6, 1, tzinfo=UTC), count=4, ttl=5000)
    assert await again.top(9) == before
    assert await again.get(before[1].member) == before[1]
    assert names(await game.board("daily", at=day).top(1)) == ["late"]
    lives = [await redis.pttl(key) async for key in redis.scan_iter(f"arp:{{{name}}}:*:final:*")]
    assert lives
    assert all(0 < life <= 1_000_000 for life in lives)


async def test_one_who_is_final_stays_so(redis: Redis, name: str) -> None:
    """Final standings of one member are final as well."""
    game = PeriodicLeaderboard(redis, name, periods=("daily",), keep=3650 * 86_000)
    day = datetime(2026, 1, 5, 12, tzinfo=UTC)
    await game.set("ada", 1, at=day)
    assert names(await (await game.archive("daily", at=day, previous=0, ttl=60)).top(9)) == ["ada"]
    await game.set("late", 2, at=day)
    assert names(await (await game.archive("daily", at=day, previous=0, ttl=60)).top(9)) == ["ada"]


async def test_a_period_that_goes_on_is_not_final(redis: Redis, name: str) -> None:
    """The standings of a period that has not ended are not kept, and "all" never ends; an empty period has none."""
    game = PeriodicLeaderboard(redis, name, periods=("daily", "all"))
    await game.increment("ada")
    for period, previous in (("daily", 0), ("all", 0), ("all", 1)):
        with pytest.raises(ValueError, match="has not ended"):
            await game.archive(period, previous=previous, ttl=60)
    assert await (await game.archive("daily", ttl=60)).top(5) == []
