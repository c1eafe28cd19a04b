from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.console.tour import (
    STEPS,
    bans,
    caches,
    collections,
    composite,
    concurrency,
    counters,
    documents,
    feeds,
    flags,
    leaderboards,
    locks,
    meeting,
    queues,
    quota,
    rate_limits,
    sessions,
    stores,
    streams,
    transport,
    turns,
    web,
)
from aioredis_patterns.console.tour.command import summary
from aioredis_patterns.console.tour.crew import PROCESSES, Crew, CrewError, crew_of
from aioredis_patterns.console.tour.locks import Hold
from aioredis_patterns.console.tour.perform import clean, perform
from aioredis_patterns.console.tour.step import Check, Outcome, Stage, Step
from aioredis_patterns.counters import Estimate
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster
from aioredis_patterns.leaderboards import RankedMember
from aioredis_patterns.queues import DeadLetter
from tests.console.command import command, start
from tests.embedded.processes import left_in
from tests.support.waiting import eventually

PREFIX = re.compile(r"tour-[0-9a-f]{6}")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
DAYS = [meeting.Day(0, 3, [index] * 25) for index in range(PROCESSES)]
LETTERS = [DeadLetter("id", -1, b"-1", {}, 3, "no", "", datetime.now(UTC), datetime.now(UTC))] * PROCESSES
GUESSES = Counter({"admitted": 5, "redis": 2, "ban": 393})
BOARD = [RankedMember("ada", 6.0, 1), RankedMember("bob", 3.0, 2)]
USER = documents.Profile("Ada", 200, 200, "fine")
DOCUMENT = {"seen": {str(number): True for number in range(1, 201)}, "empty": []}
SHOWN = [f"{author} {number}" for author in ("ada", "bob", "cy") for number in range(100)]
CROWD = sorted(str(one) for one in range(1, 40))
FEW, MORE = [[*range(500)]], [[*range(1_000)]]
GOOD = [Hold(number, number + 0.5, number % PROCESSES, number + 1, 1) for number in range(8)]


def processes_with(word: str) -> set[int]:
    """The processes that have a word on their command line."""
    found = set()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in line.read_text():
                found.add(int(line.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def first_line(process: asyncio.subprocess.Process) -> str:
    """The prefix of a tour, when its first step has ended."""
    assert process.stdout is not None
    said = ""
    while "\nok " not in said:
        line = await process.stdout.readline()
        assert line, f"the tour ended: {said}"
        said += line.decode()
    return PREFIX.findall(said)[0]


async def test_the_tour_keeps_every_promise(tmp_path: Path) -> None:
    """On a server of its own every step ends well, within 30 seconds, and nothing stays on the machine."""
    answer = await command("tour", environment={"TMPDIR": str(tmp_path)})
    assert (answer.code, answer.err) == (0, "")
    assert re.findall(r"^ok +(.+?):", answer.out, re.MULTILINE) == [step.name for step in STEPS]
    assert re.search(rf"^{len(STEPS)} steps, all \d+ promises kept", answer.out, re.MULTILINE)
    assert answer.seconds < 30
    assert left_in(tmp_path) == []
    await eventually(lambda: not processes_with(PREFIX.findall(answer.out)[0]))


async def test_the_tour_is_a_table_on_a_terminal(own_server: EmbeddedServer) -> None:
    """On a terminal each step has its row, with what it found, its keys and its commands."""
    async with connect(own_server.url) as redis:
        await redis.set("mine", "kept")
        code, shown = await on_a_terminal("tour", "--url", own_server.url)
        assert (code, [step.name for step in STEPS if step.name not in shown]) == (0, [])
        assert shown.count("\N{CHECK MARK}") == len(STEPS)
        assert "2,000 holds, 0 overlaps" in shown
        assert "{invoice}:fence" in shown
        assert await redis.keys() == [b"mine"]


async def test_a_cluster_is_toured_node_by_node() -> None:
    """On a cluster keys, commands and connections are those of all primaries, and nothing is left on any of them."""
    async with embedded_cluster() as cluster, connect(cluster.url) as redis, crew_of(1, cluster.url, "test") as crew:
        stage = Stage(redis, cluster.url, "test", crew)
        report = await perform(transport.STEP, stage, set())
        assert report.broken == []
        assert set(report.keys) == {"{hits}:shared", "{hits}:pool"}
        assert report.commands["evalsha"] >= 24_000
        await clean(redis, "test")
        assert await redis.dbsize() == 0


async def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run a command on a terminal of its own; its exit code, and the text that was shown."""
    ours, its = pty.openpty()
    process = await start(*arguments, environment={"COLUMNS": "160", "TERM": "xterm"}, stdout=its, stderr=its)
    os.close(its)
    shown = await asyncio.to_thread(read_all, ours)
    return await process.wait(), ESCAPES.sub("", shown.decode())


def read_all(terminal: int) -> bytes:
    """Everything that is written to a terminal until nobody has it open."""
    shown = b""
    try:
        while part := os.read(terminal, 65_536):
            shown += part
    except OSError:  # how Linux says that it was closed
        pass
    os.close(terminal)
    return shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_tour_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """After Ctrl-C, and when it is asked to end, no server, no process and no directory stays."""
    process = await start("tour", environment={"TMPDIR": str(tmp_path)})
    prefix = await first_line(process)
    assert len(processes_with(prefix)) == PROCESSES
    process.send_signal(number)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert processes_with(prefix) == set()
    assert left_in(tmp_path) == []


async def test_an_interrupted_tour_cleans_a_server_that_was_lent(own_server: EmbeddedServer) -> None:
    """After Ctrl-C none of the tour's keys is on the server."""
    process = await start("tour", "--url", own_server.url)
    await first_line(process)
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert await own_server.ask("DBSIZE") == 0


async def test_a_killed_tour_leaves_no_process(own_server: EmbeddedServer) -> None:
    """The processes of a tour end with it, also when it cannot end them."""
    process = await start("tour", "--url", own_server.url)
    prefix = await first_line(process)
    process.kill()
    await process.communicate()
    await eventually(lambda: not processes_with(prefix))


async def test_a_broken_promise_fails_the_tour(own_server: EmbeddedServer) -> None:
    """Where a pattern cannot work the tour says which, goes on with the others, and ends with 1."""
    await own_server.ask("ACL", "SETUSER", "low", "on", ">pw", "~*", "&*", "+@all", "-zadd")
    answer = await command("tour", "--url", own_server.url.replace("://", "://low:pw@"))
    assert answer.code == 1
    failed = re.findall(r"^failed +(.+?):", answer.out, re.MULTILINE)
    assert "Lock" in failed
    assert "TokenBucket" not in failed
    assert re.search(r"^ +broken: it runs to its end \(CrewError: .*", answer.out, re.MULTILINE)
    assert re.search(r"\d+ of \d+ promises broken", answer.out)
    assert len(re.findall(r"^ok ", answer.out, re.MULTILINE)) == len(STEPS) - len(failed)


async def test_a_tour_without_a_server_says_so(own_server: EmbeddedServer) -> None:
    """A server that is not there is one line on stderr and exit code 2."""
    await own_server.kill()
    answer = await command("tour", "--url", own_server.url)
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("checks", "broken"),
    [
        pytest.param(locks.judge(GOOD, 8), 0, id="a good lock"),
        pytest.param(locks.judge(GOOD, 9), 1, id="a hold is missing"),
        pytest.param(locks.judge([GOOD[0]._replace(ended=1.1), *GOOD[1:]], 8), 1, id="two holds overlap"),
        pytest.param(locks.judge([GOOD[0]._replace(inside=2), *GOOD[1:]], 8), 1, id="two were inside"),
        pytest.param(locks.judge([GOOD[0]._replace(fence=2), *GOOD[1:]], 8), 1, id="two have one fence"),
        pytest.param(locks.judge([hold._replace(process=0) for hold in GOOD], 8), 1, id="one process had it all"),
        pytest.param(rate_limits.judge([0, 0, 1.5], 3, 2), 0, id="a good limit"),
        pytest.param(rate_limits.judge([0, 0, 0], 3, 2), 1, id="one too many was admitted"),
        pytest.param(rate_limits.judge([0, 1.5, 1.5], 3, 2), 1, id="one too few was admitted"),
        pytest.param(rate_limits.judge([0, 0, float("inf")], 3, 2), 1, id="nobody knows when to come back"),
        pytest.param(rate_limits.judge([0, 0, 90_000], 3, 2), 1, id="one is told to come back too late"),
        pytest.param(rate_limits.judge([0, 0], 3, 2), 1, id="a hit got no answer"),
        pytest.param(bans.judge(GUESSES, ["mallory"], others=True, pardoned=True), 0, id="a good ban"),
        pytest.param(
            bans.judge(GUESSES + Counter({"admitted": 1}), ["mallory"], others=True, pardoned=True),
            2,
            id="a guess too many",
        ),
        pytest.param(bans.judge(GUESSES, [], others=True, pardoned=True), 1, id="a ban is not listed"),
        pytest.param(bans.judge(GUESSES, ["mallory"], others=False, pardoned=True), 1, id="another one is kept out"),
        pytest.param(bans.judge(GUESSES, ["mallory"], others=True, pardoned=False), 1, id="a pardon changed nothing"),
        pytest.param(composite.judge(500, {"a": 500}, {"a": 500, "b": 0}), 0, id="a good composite"),
        pytest.param(composite.judge(499, {"a": 499}, {"a": 499}), 1, id="one hit too few passed all parts"),
        pytest.param(composite.judge(500, {"a": 500}, {"a": 499, "b": 1}), 1, id="a part did not count a hit"),
        pytest.param(composite.judge(500, {"a": 500}, {"a": 500, "b": 1}), 1, id="a part counted a denied hit"),
        pytest.param(concurrency.judge([(0, 1), (1, 2)] * 100, 4), 1, id="a hundred at a time"),
        pytest.param(concurrency.judge([(i, i + 3.5) for i in range(200)], 4), 0, id="good slots"),
        pytest.param(concurrency.judge([(i, i + 4.5) for i in range(200)], 4), 1, id="a fifth one came in"),
        pytest.param(concurrency.judge([(i, i + 1) for i in range(199)], 3), 2, id="one is inside for ever"),
        pytest.param(leaderboards.judge(9, BOARD, BOARD, BOARD), 0, id="good boards"),
        pytest.param(leaderboards.judge(8, BOARD, BOARD, BOARD), 1, id="a point is lost"),
        pytest.param(leaderboards.judge(9, BOARD, BOARD[:1], BOARD), 1, id="the periods differ"),
        pytest.param(leaderboards.judge(9, BOARD[::-1], BOARD[::-1], BOARD[::-1]), 1, id="the worst is first"),
        pytest.param(leaderboards.judge(9, BOARD, BOARD, []), 1, id="no neighbours"),
        pytest.param(counters.judge([200, 300], Estimate(990, 8.1), [1000, 500]), 0, id="good counters"),
        pytest.param(counters.judge([200, 301], Estimate(990, 8.1), [1000, 500]), 1, id="more was sold than there is"),
        pytest.param(counters.judge([500], Estimate(960, 7.8), [1000, 500]), 1, id="an estimate is too far off"),
        pytest.param(counters.judge([500], Estimate(990, 8.1), [1001, 500]), 1, id="somebody was active twice"),
        pytest.param(documents.judge(USER, DOCUMENT, [True, False]), 0, id="good records"),
        pytest.param(documents.judge(replace(USER, logins=199), DOCUMENT, [True]), 1, id="a login is lost"),
        pytest.param(documents.judge(replace(USER, mood=None), DOCUMENT, [True]), 1, id="another field is lost"),
        pytest.param(documents.judge(None, DOCUMENT, [True]), 1, id="the record is gone"),
        pytest.param(documents.judge(USER, DOCUMENT | {"empty": {}}, [True]), 1, id="a list became an object"),
        pytest.param(documents.judge(USER, DOCUMENT, [True, True]), 1, id="two were first"),
        pytest.param(sessions.judge("abcde", ["a"], 3, 0), 0, id="good sessions"),
        pytest.param(sessions.judge("abcd", ["a"], 3, 0), 1, id="a change of a session is lost"),
        pytest.param(sessions.judge("abcde", ["a", "b"], 3, 0), 1, id="two rotations won"),
        pytest.param(sessions.judge("abcde", ["a"], 4, 0), 1, id="a login too many lives"),
        pytest.param(sessions.judge("abcde", ["a"], 3, 1), 1, id="a session outlives its end"),
        pytest.param(web.judge([1, 0], ["ab", "ab"], 2), 0, id="good orders"),
        pytest.param(web.judge([1, 0, 1], ["ab", "ab"], 2), 1, id="an order is made twice"),
        pytest.param(web.judge([1, 0], ["ab", "cb"], 2), 1, id="two are told something else"),
        pytest.param(feeds.judge([SHOWN[:9]], [SHOWN, SHOWN], []), 0, id="good feeds"),
        pytest.param(feeds.judge([[*SHOWN[:9], SHOWN[8]]], [SHOWN, SHOWN], []), 1, id="a page turned back"),
        pytest.param(feeds.judge([], [SHOWN[1:], SHOWN[1:]], []), 1, id="an item is missing"),
        pytest.param(feeds.judge([], [SHOWN, SHOWN[::-1]], []), 1, id="who fetches sees another order"),
        pytest.param(feeds.judge([], [SHOWN, SHOWN], SHOWN[:1]), 1, id="an item stays behind"),
        pytest.param(flags.judge(FEW, MORE, [True], ["set"] * 4), 0, id="good flags"),
        pytest.param(flags.judge([*FEW, []], MORE, [True], ["set"] * 4), 1, id="a process says something else"),
        pytest.param(flags.judge(MORE, FEW, [True], ["set"] * 4), 2, id="the rollout shrinks"),
        pytest.param(flags.judge(FEW, [[*FEW[0], 501]], [True], ["set"] * 4), 1, id="too few are added"),
        pytest.param(flags.judge(FEW, MORE, [True, False], ["set"] * 4), 1, id="one did not hear of the kill"),
        pytest.param(flags.judge(FEW, MORE, [True], ["set"] * 3), 1, id="a change is not in the log"),
        pytest.param(quota.judge(9, 9, freed=True), 0, id="a good quota"),
        pytest.param(quota.judge(9, 8, freed=True), 1, id="a job was not counted"),
        pytest.param(quota.judge(0, 0, freed=True), 1, id="no job got in"),
        pytest.param(quota.judge(1001, 1001, freed=True), 1, id="the quota was exceeded"),
        pytest.param(quota.judge(9, 9, freed=False), 1, id="what is gone stays reserved"),
        pytest.param(queues.judge([[0, 1], [0], [0, 1], [0, 1, 1]], LETTERS, 0, 8, 8), 0, id="a good queue"),
        pytest.param(queues.judge([[0, 1], [0], [0, 1], [0, 1]], LETTERS, 0, 8, 8), 1, id="a message was lost"),
        pytest.param(queues.judge([[0, 1]] * 4 + [[0]], LETTERS, 0, 8, 8), 1, id="a message was handled twice"),
        pytest.param(queues.judge([[0, 1]] * 4, LETTERS[1:], 0, 8, 8), 1, id="a dead letter is missing"),
        pytest.param(queues.judge([[0, 1]] * 4, LETTERS, 1, 8, 8), 1, id="a message stayed behind"),
        pytest.param(queues.judge([[0, 1]] * 4, LETTERS, 0, 9, 8), 1, id="a handler wrote twice"),
        pytest.param(streams.judge([[(0, 0), (0, 2)], [(1, 1)]], [2, 0, 1], 0, 3), 0, id="a good log"),
        pytest.param(streams.judge([[(0, 0)], [(1, 1)]], [2, 0, 1], 0, 3), 1, id="an entry was not handled"),
        pytest.param(streams.judge([[(0, 2), (0, 0)], [(1, 1)]], [2, 0, 1], 0, 3), 1, id="the order was not kept"),
        pytest.param(streams.judge([[(0, 0), (0, 2)], [(1, 1)]], [2, 0, 1], 1, 3), 1, id="an entry is left"),
        pytest.param(streams.judge([[(0, 0), (0, 2)], [(1, 1)]], [0, 1], 0, 3), 1, id="the log lost an entry"),
        pytest.param(collections.judge([39, 1], CROWD, [["0"]], CROWD), 0, id="good collections"),
        pytest.param(collections.judge([40, 1], CROWD, [["0"]], CROWD), 1, id="somebody was new twice"),
        pytest.param(collections.judge([40], CROWD, [["0"], []], CROWD), 1, id="one direction is missing"),
        pytest.param(collections.judge([40], CROWD[1:], [["0"]], CROWD), 1, id="a follower is missing"),
        pytest.param(collections.judge([40], CROWD, [["0"]], ["0", *CROWD]), 1, id="a tag was not left out"),
        pytest.param(meeting.judge(DAYS, 4000), 0, id="a good meeting"),
        pytest.param(meeting.judge(DAYS, 3999), 1, id="a sum was lost"),
        pytest.param(meeting.judge([DAYS[0]._replace(ready=1), *DAYS[1:]], 4000), 1, id="the latch opened too early"),
        pytest.param(meeting.judge([DAYS[0]._replace(inside=4), *DAYS[1:]], 4000), 1, id="a guest had no seat"),
        pytest.param(meeting.judge([DAYS[1], *DAYS[1:]], 4000), 1, id="a round without its first"),
        pytest.param(turns.judge(range(20), [1, 2], [1] * 40, again=True), 0, id="good turns"),
        pytest.param(turns.judge([1, 0, *range(2, 20)], [1, 2], [1] * 40, again=True), 1, id="one jumped the queue"),
        pytest.param(turns.judge(range(19), [1, 2], [1] * 40, again=True), 1, id="one was never served"),
        pytest.param(turns.judge(range(20), [1, 1], [1] * 40, again=True), 1, id="readers were alone"),
        pytest.param(turns.judge(range(20), [1, 2], [1] * 39, again=True), 1, id="a writer did not get in"),
        pytest.param(turns.judge(range(20), [1, 2], [2] * 40, again=True), 1, id="writers were not alone"),
        pytest.param(turns.judge(range(20), [1, 2], [1] * 40, again=False), 1, id="an owner was not known"),
        pytest.param(caches.judge([1, 1, 1], 1, 3), 0, id="a good cache"),
        pytest.param(caches.judge([1, 1, 2], 2, 3), 2, id="the value was loaded twice"),
        pytest.param(caches.judge([1, 1], 1, 3), 1, id="a caller got nothing"),
        pytest.param(stores.judge([1, None], [1, 2], 2, 20), 0, id="good stores"),
        pytest.param(stores.judge([1, 3], [1, 2], 2, 20), 1, id="an old value is cached"),
        pytest.param(stores.judge([1, 2], [1, 2], 1, 20), 1, id="a last write was lost"),
        pytest.param(stores.judge([1, 2], [1, 2], 2, 1_000), 1, id="each write was written"),
        pytest.param(transport.judge([2, 1, 3], 3, 1), 0, id="a good connection"),
        pytest.param(transport.judge([1, 1, 3], 3, 1), 1, id="a reply came twice"),
        pytest.param(transport.judge([1, 2, 3, 4], 3, 1), 1, id="a call was executed twice"),
        pytest.param(transport.judge([1, 2, 3], 3, 2), 1, id="there were two connections"),
    ],
)
def test_a_step_sees_what_is_wrong(checks: tuple[Check, ...], broken: int) -> None:
    """Each promise that was not kept is found, and no other."""
    assert sum(not check.kept for check in checks) == broken


@asynccontextmanager
async def staged(url: str, name: str) -> AsyncIterator[Stage]:
    """What a step works with, on a server that others use as well."""
    async with connect(url) as redis:
        try:
            yield Stage(redis, url, name, Crew([]))
        finally:
            await clean(redis, name)


async def leave_a_key(stage: Stage) -> Outcome:
    """A step that forgets the expiry of a key."""
    await stage.redis.set(f"{stage.prefix}:lasting", 1)
    return Outcome("done", (Check("it is done", kept=True),))


async def fail(stage: Stage) -> Outcome:
    """A step that Redis refuses."""
    await stage.redis.execute_command("INCR", f"{stage.prefix}:n", "too", "many")
    return Outcome("done", ())


async def test_a_key_that_stays_for_ever_breaks_a_promise(url: str, name: str) -> None:
    """A step whose keys do not all expire fails, and its keys are shown."""
    async with staged(url, name) as stage:
        report = await perform(Step("Forgetful", "", "", leave_a_key), stage, set())
    assert (report.broken, report.keys) == (["every key expires"], ("lasting",))
    assert "1 of 2 promises broken" in summary([report], 1)


async def test_a_step_that_fails_is_a_broken_promise(url: str, name: str) -> None:
    """What Redis says to a step that it refuses is shown, and the tour can go on."""
    async with staged(url, name) as stage:
        report = await perform(Step("Refused", "", "", fail), stage, set())
    assert "wrong number of arguments" in report.broken[0]


async def test_the_tour_deletes_its_own_keys_only(pipelined: PipelinedRedis, name: str) -> None:
    """Cleaning deletes what begins with the tour's prefix, and no key that is only similar."""
    await pipelined.set(f"{name}:mine", 1, ex=60)
    await pipelined.set(f"{name}er:another", 1, ex=60)
    await clean(pipelined, name)
    assert await pipelined.exists(f"{name}:mine") == 0
    assert await pipelined.exists(f"{name}er:another") == 1


async def say_late(redis: PipelinedRedis, prefix: str, word: str) -> str:
    """In a process: one fails at once, the others answer."""
    if word == "fail" and await redis.incr(f"{prefix}:failed") == 1:
        raise OSError("the first one")
    return word


async def test_an_answer_is_that_of_its_own_task(url: str, name: str) -> None:
    """When a process fails, what the others answer to that task is not taken for the answer to the next."""
    async with staged(url, name) as stage, crew_of(3, url, name) as crew:
        with pytest.raises(CrewError, match="the first one"):
            await crew.do(f"{__name__}:say_late", "fail")
        assert await crew.do(f"{__name__}:say_late", "next") == ["next"] * 3
        assert await stage.redis.get(f"{name}:failed") == b"3"
