"""Leaderboards of the day, the week and the month, which begin and end by themselves.

Promise: one write counts on the boards of all periods, or on none; the periods are those of the server's clock in the
board's time zone, so that processes whose clocks differ write to the same ones; a board is kept for a while after its
period and then expires.

Limit of the promise: a day has 23 or 25 hours where the clocks change. An event of another time (`at=`) counts on the
boards of its time, as long as those are kept.

Cost: one round trip for a write, a second one for the first after a period's end. All boards are in one slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, final

from aioredis_patterns._core.durations import delay_ms, ttl_ms
from aioredis_patterns._core.keys import PREFIX, Keys
from aioredis_patterns._core.members import member_text
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.codecs import Json
from aioredis_patterns.types import AnyRedis, Codec, KeyPart, Seconds

from .calendar import PeriodName, Span, Spans, moment_us
from .scores import Order, RankMode, Ties, check_count, check_form, score_text
from .standings import Standings, board_keys

__all__ = ("PeriodicLeaderboard",)

_FRAGMENTS: Final = ("fragment_time", "fragment_board", "fragment_writing", "fragment_putting")
_PUT: Final = Script(__package__, "periodic_put", keys=5, fragments=_FRAGMENTS)
_ARCHIVE: Final = Script(
    __package__, "periodic_archive", keys=7, fragments=("fragment_time", "fragment_board"), repeatable=True
)
_MOVED: Final = -2
_KEEP: Final = 35 * 86_400
_OLDEST: Final = 7400
"""Days, for which nothing is kept: ten years as a board, and ten in the archive."""


@final
class PeriodicLeaderboard:
    """A board for each period, written together.

    Promise, limit and cost: see the module.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the boards are called.
        periods: Some of "daily", "weekly", "monthly" and "all".
        tz: The time zone in which they begin: an IANA name, or a tzinfo.
        week_start: The first day of a week, 0 for Monday to 6 for Sunday.
        keep: Seconds that a board is kept after its period; "all" is kept for ever.
        order, ties, rank_mode, maxlen, codec, meta: As of `Leaderboard`.
        prefix: First part of the keys.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> game = PeriodicLeaderboard(redis, "game", periods=("daily", "all"), tz="UTC")
        >>> await game.increment("ada", 10)
        10.0
        >>> [row.member for row in await game.board("daily").top(10)]
        ['ada']
        >>> 0 < game.resets_in("daily") <= 86_400
        True
    """

    __slots__ = ("_codec", "_form", "_keep_ms", "_keys", "_most", "_notes", "_redis", "_spans", "name")

    def __init__(  # noqa: PLR0913  # what a board is, is said in one place
        self,
        redis: AnyRedis,
        name: str,
        *,
        periods: Sequence[PeriodName] = ("daily", "weekly", "all"),
        tz: str | tzinfo = "UTC",
        week_start: int = 0,
        keep: Seconds = _KEEP,
        order: Order = "desc",
        ties: Ties = "shared",
        rank_mode: RankMode = "ordinal",
        maxlen: int | None = None,
        codec: Codec[Any] | None = None,
        meta: bool = False,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self._redis, self._keys = redis, Keys(name, prefix)
        self._form = check_form(order, ties, rank_mode)
        self._spans = Spans(tuple(periods), tz, week_start)
        self._keep_ms = delay_ms(keep, "keep")
        self._most = 0 if maxlen is None else check_count(maxlen, "maxlen")
        self._notes: Codec[Any] = codec or Json()
        self._codec = self._notes if meta else None

    def __repr__(self) -> str:
        return f"<PeriodicLeaderboard {self.name!r}>"

    def board(self, period: PeriodName, *, at: datetime | None = None, previous: int = 0) -> Standings:
        """The standings of a period: the present one, that of a moment, or so many before it."""
        span = self._span(period, at, previous)
        keys = board_keys(self._keys, span.version)
        return Standings(self._redis, self.name, self._keys, keys, self._form, self._codec)

    async def archive(
        self, period: PeriodName, *, ttl: Seconds, at: datetime | None = None, previous: int = 1, count: int = 100
    ) -> Standings:
        """Keep the best of a period that has ended; they are kept once, and given again by every later call.

        Late scores change the board of a period for as long as it is kept, but nothing that is in the archive.

        Args:
            period: Which one; not "all", which never ends.
            ttl: Seconds that they are kept, longer than the board itself.
            at: A moment of the period, or of one after it; now when None.
            previous: How many periods before that one.
            count: How many members are kept.

        Raises:
            ValueError: The period has not ended.
        """
        span = self._span(period, at, previous)
        board, places, _, _, notes = board_keys(self._keys, span.version)
        final = board_keys(self._keys, f":final{span.version}")
        kept_in = final[0], final[1], final[2], final[4]
        limits = span.stop_us, check_count(count), ttl_ms(ttl)
        keys = (board, places, notes, *kept_in)
        if period == "all" or await _ARCHIVE(self._redis, *keys, *self._form[:2], *limits) < 0:
            raise ValueError(f"the {period} period has not ended")
        return Standings(self._redis, self.name, self._keys, final, self._form, self._codec)

    def resets_in(self, period: PeriodName) -> float:
        """Seconds until a period ends, by the server's clock as far as it is known; infinite for "all"."""
        now = self._spans.now_us()
        stop = self._spans.one(period, now).stop_us
        return float("inf") if period == "all" else (stop - now) / 1_000_000

    def period(self, period: PeriodName, *, at: datetime | None = None) -> tuple[datetime, datetime]:
        """When a period begins, and when it ends."""
        span = self._spans.one(period, self._spans.now_us() if at is None else moment_us(at))
        start, stop = (datetime.fromtimestamp(each / 1_000_000, UTC) for each in (span.start_us, span.stop_us))
        return start, stop

    async def set(self, member: KeyPart, score: float, meta: object = None, *, at: datetime | None = None) -> None:
        """Give a member a score on every board."""
        await self._put("set", member, score, meta, at)

    async def increment(
        self, member: KeyPart, by: float = 1, meta: object = None, *, at: datetime | None = None
    ) -> float:
        """Add to the score of a member on every board; the score it has on that of the first period.

        Raises:
            OverflowError: A sum would be infinite, or leave the exact integers; no board is changed.
            OutcomeUnknownError: The reply was lost; it may have been added.
        """
        done, score = await self._put("increment", member, by, meta, at)
        if done < 0:
            raise OverflowError(f"the score of {member!r} would be beyond what a double holds")
        return float(score)

    async def submit(self, member: KeyPart, score: float, meta: object = None, *, at: datetime | None = None) -> bool:
        """Give a member a score on every board where it is better; whether it was on that of the first period."""
        return bool((await self._put("submit", member, score, meta, at))[0])

    def _span(self, period: PeriodName, at: datetime | None, previous: int) -> Span:
        """The period of a moment, or so many before it."""
        span = self._spans.one(period, self._spans.now_us() if at is None else moment_us(at))
        for _ in range(check_count(previous, "previous", 0, _OLDEST)):
            span = self._spans.one(period, span.start_us - 1)
        return span

    async def _put(self, verb: str, member: KeyPart, amount: float, meta: object, at: datetime | None) -> Any:
        note = b"" if meta is None else self._notes.encode(meta)
        known = *self._form, self._most, verb, member_text(member), score_text(amount), note
        if at is not None:
            return await self._send(self._spans.at(moment_us(at)), known, 0, 0)
        while True:
            spans = self._spans.at(self._spans.now_us())
            start, stop = max(span.start_us for span in spans), min(span.stop_us for span in spans)
            reply = await self._send(spans, known, max(start, 1), stop)
            if reply[0] != _MOVED:
                return reply
            self._spans.follow(reply[1])

    async def _send(self, spans: list[Span], known: tuple[Any, ...], start_us: int, stop_us: int) -> Any:
        keys = [key for span in spans for key in board_keys(self._keys, span.version)]
        ends = [0 if span.name == "all" else span.stop_us // 1000 + self._keep_ms for span in spans]
        return await _PUT.taking(len(keys))(self._redis, *keys, *known, start_us, stop_us, *ends)
