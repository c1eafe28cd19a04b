"""Runs the race on one server with one event loop: who takes turns with whom, and what the server says of each."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio as redis_py

from aioredis_patterns.embedded import EmbeddedServer
from racing.rooms import COUNTED_TASKS, Contender, Row

FOLDER = Path(__file__).parent.parent
PATIENCE = 20.0
"""Seconds for one order; a library that needs longer has failed."""

JOB_TURNS = 3
"""A turn of workers is so much longer than others, as it begins with their start."""

SENTINEL = "the last word of a count"
OWN = {f"cmdstat_{name}" for name in ("config", "info", "monitor", "echo", "ping", "client", "hello")}
"""Commands of this program and of connections being made, which no call costs."""

Record = dict[str, Any]


class FailedError(Exception):
    """A contender could not do what it was told."""


@dataclass(slots=True)
class Racer:
    """A contender's process."""

    contender: Contender
    command: tuple[str, ...]
    process: Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=FOLDER
        )

    async def tell(self, order: str) -> Record:
        """Give an order, and wait for its answer.

        Raises:
            FailedError: It raised, died, or took too long; it is started anew by the next order.
        """
        if self.process is None:
            await self.start()
        answer = await self.answer(order)
        if "error" in answer:
            await self.end()
            raise FailedError(answer["error"])
        if answer.pop("stuck", 0):
            await self.end()  # the next order begins in a new process
        return answer

    async def answer(self, order: str) -> Record:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{order}\n".encode())
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        except TimeoutError:
            return {"error": f"no answer to '{order}' in {PATIENCE:g} s"}
        return dict(json.loads(line)) if line else {"error": f"ended at '{order}'"}

    async def end(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            self.process = None


@dataclass(slots=True)
class Course:
    """A server and an event loop, and what was found on them."""

    server: EmbeddedServer
    loop: str
    pythons: dict[str, str]
    rounds: int
    seconds: float
    costly: bool
    """Whether commands, bytes and connections are counted, which the event loop does not change."""
    found: dict[str, list[Record]]
    """Where `runs`, `costs` and `failures` go."""

    async def race(self, row: Row) -> None:
        """Let all contenders of a row take turns."""
        async with redis_py.Redis.from_url(self.server.url) as redis, self.racers(row) as racers:
            for racer in list(racers) if self.costly else ():
                with self.noting(row, racer):
                    self.found["costs"].append(self.named(row, racer) | await self.cost(redis, row, racer))
            for tasks in row.tasks:
                await self.take_turns(redis, row, racers, tasks)

    @asynccontextmanager
    async def racers(self, row: Row) -> AsyncIterator[list[Racer]]:
        """The processes of those that can be run."""
        found = []
        for contender in row.contenders:
            python = self.pythons.get(contender.library) if contender.library else sys.executable
            room = f"{row.room} peer" if contender.library else row.room
            if python and not self.failed(row, contender.who, 0):
                program = (python, "-m", "racing.racer", room, contender.who, row.what, self.server.url, self.loop)
                found.append(Racer(contender, program))
        try:
            await asyncio.gather(*(racer.start() for racer in found))
            yield found
        finally:
            await asyncio.gather(*(racer.end() for racer in found))

    async def take_turns(self, redis: redis_py.Redis, row: Row, racers: list[Racer], tasks: int) -> None:
        """All rounds of all contenders with so many tasks, in changing order."""
        found: dict[str, list[Record]] = {racer.contender.who: [] for racer in racers}
        seconds = self.seconds * (JOB_TURNS if row.what == "job" else 1)
        for number in range(self.rounds):
            first = number % len(racers)
            for racer in racers[first:] + racers[:first]:
                who = racer.contender.who
                if self.failed(row, who, 0) or self.failed(row, who, tasks):
                    continue
                with self.noting(row, racer, tasks):
                    if row.flushed:
                        await redis.flushdb()
                    await racer.tell(f"prepare {tasks}")
                    found[who].append(await racer.tell(f"run {seconds}"))
        for racer in racers:
            if rounds := found[racer.contender.who]:
                target = row.targets.get(tasks) if racer.contender.part == "ours" else None
                record = self.named(row, racer) | {"tasks": tasks} | middle(rounds)
                self.found["runs"].append(record | ({"target": target} if target else {}))

    async def cost(self, redis: redis_py.Redis, row: Row, racer: Racer) -> Record:
        """Commands of a call, bytes of an entry, and connections with the most tasks."""
        connections = await self.connections(redis, row, racer)
        await redis.flushdb()
        await racer.tell(f"prepare {COUNTED_TASKS}")
        await redis.config_resetstat()
        async with sent_to(self.server) as sent:
            calls = (await racer.tell("count"))["calls"]
            await redis.echo(SENTINEL)
        stats = await redis.info("commandstats")
        executed = sum(stats[name]["calls"] for name in stats if name.partition("|")[0] not in OWN)
        size = await stored(redis) / row.entries if row.entries else None
        commands = {"sent": round(sent[0] / calls, 3), "executed": round(executed / calls, 3)}
        return commands | {"bytes": size and round(size, 1), "connections": connections}

    async def connections(self, redis: redis_py.Redis, row: Row, racer: Racer) -> int | None:
        """How many it has open with the most tasks; None where it fails with so many."""
        await redis.flushdb()
        before = {client["id"] for client in await redis.client_list()}
        try:
            await racer.tell(f"prepare {max(row.tasks)}")
            await racer.tell(f"run {self.seconds}")
        except FailedError:
            return None
        return len({client["id"] for client in await redis.client_list()} - before)

    @contextmanager
    def noting(self, row: Row, racer: Racer, tasks: int = 0) -> Iterator[None]:
        """Note that a contender has failed with so many tasks, with 0 for all, instead of ending the race."""
        try:
            yield
        except FailedError as error:
            self.found["failures"].append(self.named(row, racer) | {"tasks": tasks, "error": str(error)})

    def failed(self, row: Row, who: str, tasks: int) -> bool:
        """Whether it has failed here, or everything when its commands were counted, on whichever server."""
        place = {"room": row.room, "what": row.what, "who": who, "tasks": tasks}
        if tasks:
            place |= {"server": self.server.flavor, "loop": self.loop}
        return any(place.items() <= failure.items() for failure in self.found["failures"])

    def named(self, row: Row, racer: Racer) -> Record:
        """What every record begins with."""
        contender = racer.contender
        who = {"server": self.server.flavor, "loop": self.loop, "room": row.room, "what": row.what}
        return who | {"who": contender.who, "part": contender.part}


def middle(rounds: list[Record]) -> Record:
    """The median of each figure, and the rate of each round."""
    found: Record = {name: statistics.median(one[name] for one in rounds) for name in rounds[0] if name != "calls"}
    return {name: round(value, 3) for name, value in found.items()} | {"rates": [round(one["rate"]) for one in rounds]}


@asynccontextmanager
async def sent_to(server: EmbeddedServer) -> AsyncIterator[list[int]]:
    """Counts what clients send, without what scripts call, until the last word."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"MONITOR\r\n")
    await reader.readline()
    count = [0]
    try:
        yield count
        async with asyncio.timeout(PATIENCE):
            while True:
                line = await reader.readline()
                _, _, command = line.partition(b"] ")
                if SENTINEL.encode() in command:
                    break
                name = command.split(b" ", 1)[0].strip(b'"\r\n').lower().decode()
                count[0] += b" lua]" not in line and f"cmdstat_{name}" not in OWN
    finally:
        writer.close()


async def stored(redis: redis_py.Redis) -> int:
    """The bytes of all keys, as the server counts them."""
    keys = [key async for key in redis.scan_iter(count=1000)]
    sizes = redis.pipeline(transaction=False)
    for key in keys:
        sizes.memory_usage(key, samples=0)
    return sum(size or 0 for size in await sizes.execute())
