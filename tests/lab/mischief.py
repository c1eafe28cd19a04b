"""What goes wrong in a storm: one disturbance every quarter of a second, drawn from the seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from redis.exceptions import RedisError

from tests.lab.crew import Crew
from tests.lab.scene import Disturb, Scene
from tests.support.faults import Command, Fault

__all__ = ("KINDS", "Moment", "blow", "timeline")

EVERY = 0.25
"""Seconds from one disturbance to the next."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happens, what, and how large it is, from 0 to 1."""

    at: float
    kind: str
    size: float


def timeline(seed: int, seconds: float, weights: Mapping[str, int]) -> list[Moment]:
    """What happens in a run; always the same for the same seed, and a longer run begins like a shorter one."""
    rng = random.Random(seed)
    kinds, drawn = list(weights), list(weights.values())
    return [
        Moment(number * EVERY, rng.choices(kinds, drawn)[0], rng.random())
        for number in range(1, int(seconds / EVERY) + 1)
    ]


async def blow(scene: Scene, crew: Crew, seed: int, seconds: float) -> Counter[str]:
    """Let it all happen, each at its time; how often each did."""
    kinds = KINDS | scene.own
    moments = timeline(seed, seconds, {kind: weight for kind, (weight, _) in kinds.items()})
    begun = monotonic()
    async with asyncio.TaskGroup() as group:
        for moment in moments:
            await asyncio.sleep(begun + moment.at - monotonic())
            _, disturb = kinds[moment.kind]
            group.create_task(disturb(scene, crew, moment.size))
    return Counter(moment.kind for moment in moments)


# The network ---------------------------------------------------------------------------------------------------------


async def reset(scene: Scene, crew: Crew, size: float) -> None:
    """Reset all connections."""
    for proxy in scene.proxies:
        await proxy.cut_all()


async def lose_replies(scene: Scene, crew: Crew, size: float) -> None:
    """Lose some replies of scripts, 2 % of those that come."""
    for proxy in scene.proxies:
        proxy.add(Fault("cut_after", _is_script, times=1 + int(size * 8), probability=0.02))


async def halve_reply(scene: Scene, crew: Crew, size: float) -> None:
    """Deliver half of the next script's reply."""
    for proxy in scene.proxies:
        proxy.add(Fault("half_reply", _is_script, reset=size < 0.5))


async def delay(scene: Scene, crew: Crew, size: float) -> None:
    """Let everything take up to 500 ms more for a second."""
    for proxy in scene.proxies:
        proxy.delay(0, size * 0.5)
    await asyncio.sleep(1)
    for proxy in scene.proxies:
        proxy.delay(0, 0)


async def swallow(scene: Scene, crew: Crew, size: float) -> None:
    """Let nothing through for a second, or the requests alone."""
    for proxy in scene.proxies:
        proxy.black_hole(requests=size < 0.7)
    await asyncio.sleep(1)
    for proxy in scene.proxies:
        proxy.heal()


# The servers ---------------------------------------------------------------------------------------------------------


async def kill_clients(scene: Scene, crew: Crew, size: float) -> None:
    """Let the servers close all connections of one kind."""
    await _tell(scene, "CLIENT", "KILL", "TYPE", "pubsub" if size < 0.3 else "normal", "SKIPME", "yes")


async def pause_clients(scene: Scene, crew: Crew, size: float) -> None:
    """Let the servers answer nobody for a second, or nobody who writes."""
    await _tell(scene, "CLIENT", "PAUSE", "1000", "WRITE" if size < 0.5 else "ALL")


async def flush_scripts(scene: Scene, crew: Crew, size: float) -> None:
    """Let the servers forget all scripts."""
    await _tell(scene, "SCRIPT", "FLUSH")


async def stop_server(scene: Scene, crew: Crew, size: float) -> None:
    """Stop a server for up to two seconds."""
    async with scene.away:
        server = scene.servers[int(size * len(scene.servers))]
        server.pause()
        await asyncio.sleep(size * 2)
        server.resume()


async def kill_server(scene: Scene, crew: Crew, size: float) -> None:
    """End a server in the middle of what it does, and start it again with what it has on its disk."""
    async with scene.away:
        server = scene.servers[int(size * len(scene.servers))]
        await server.kill()
        await server.restart()


# The workers ---------------------------------------------------------------------------------------------------------


async def stop_worker(scene: Scene, crew: Crew, size: float) -> None:
    """Stop a process for up to three seconds."""
    await crew.stop(size, seconds=size * 3)


async def kill_worker(scene: Scene, crew: Crew, size: float) -> None:
    """End a process in the middle of what it does."""
    crew.kill(size)


KINDS: dict[str, tuple[int, Disturb]] = {
    "connections reset": (10, reset),
    "replies lost": (10, lose_replies),
    "reply halved": (10, halve_reply),
    "latency": (10, delay),
    "black hole": (4, swallow),
    "CLIENT KILL": (10, kill_clients),
    "CLIENT PAUSE": (4, pause_clients),
    "SCRIPT FLUSH": (10, flush_scripts),
    "server stopped": (3, stop_server),
    "worker stopped": (6, stop_worker),
    "worker killed": (3, kill_worker),
    "server killed": (1, kill_server),
}
"""Each with its weight: what keeps everybody waiting is drawn less often, so that work gets done."""


async def _tell(scene: Scene, *command: str) -> None:
    """Send a command to all servers that are there."""
    for server in scene.servers:
        with contextlib.suppress(OSError, RedisError):  # it is down, stopped, or loading
            await server.ask(*command)


def _is_script(command: Command) -> bool:
    """Whether it decides something."""
    return command[0].upper() in (b"EVALSHA", b"EVAL")
