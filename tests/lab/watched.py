"""Where Sentinels watch a primary and two replicas, of which one takes its place: in order, or when it has died."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic

from redis.exceptions import RedisError, ResponseError

from aioredis_patterns.embedded import EmbeddedSentinel, EmbeddedServer, embedded_sentinel
from tests.lab.back import BACK
from tests.lab.crew import Crew
from tests.lab.scene import FOR_ONE_SERVER, KEEPING, Disturb, Scene, nothing
from tests.support.waiting import eventually

__all__ = ("outage", "sentinel")

PATIENCE = 60.0
"""Seconds that a replica may take to be the primary of all the others."""

_CAREFUL = (*KEEPING, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2", "--repl-backlog-size", "64mb")
_NEVER_DOWN, _SOON_DOWN = 60_000, 1_000
"""Milliseconds of silence after which Sentinels take the primary for dead."""

_AGAIN = 1500
"""Milliseconds, twice of which lie between two elections."""


@contextlib.asynccontextmanager
async def sentinel(seed: int) -> AsyncIterator[Scene]:
    """Replicas take over while the primary lives, when they have all that it has: nothing that was answered is lost."""
    async with embedded_sentinel(replicas=2, args=_CAREFUL) as watched:
        own: dict[str, tuple[int, Disturb]] = {"replica took over": (8, partial(_hand_over, watched))}
        yield await _scene(watched, own, _NEVER_DOWN)


@contextlib.asynccontextmanager
async def outage(seed: int) -> AsyncIterator[Scene]:
    """Primaries are killed, or stopped until another is in their place: what was not replicated by then is lost."""
    async with embedded_sentinel(replicas=2, args=_CAREFUL) as watched:
        own: dict[str, tuple[int, Disturb]] = {
            "primary killed": (8, partial(_kill, watched)),
            "primary stopped": (4, partial(_stop, watched)),
        }
        yield await _scene(watched, own, _SOON_DOWN, keeps=False)


async def _scene(
    watched: EmbeddedSentinel, own: dict[str, tuple[int, Disturb]], patience: int, *, keeps: bool = True
) -> Scene:
    for watcher in watched.sentinels:
        terms = "down-after-milliseconds", patience, "failover-timeout", _AGAIN
        await watcher.ask("SENTINEL", "SET", watched.name, *terms)
    addresses = ",".join(f"{watcher.host}:{watcher.port}" for watcher in watched.sentinels)
    url = f"redis+sentinel://{addresses}/{watched.name}/0"
    never: dict[str, tuple[int, Disturb]] = dict.fromkeys(FOR_ONE_SERVER, (0, nothing))
    return Scene(url, url, _servers(watched), own=never | own, keeps=keeps)


def _servers(watched: EmbeddedSentinel) -> list[EmbeddedServer]:
    return [watched.primary, *watched.replicas]


# What happens there --------------------------------------------------------------------------------------------------


async def _hand_over(watched: EmbeddedSentinel, scene: Scene, crew: Crew, size: float) -> None:
    """Let a replica take over when it has everything, while nobody may write."""
    if scene.away.locked():
        return
    async with scene.away:
        old = await _primary(watched)
        await old.ask("CLIENT", "PAUSE", 30_000, "WRITE")
        try:
            await eventually(partial(_is_copied, watched, old), timeout=PATIENCE)
            await eventually(partial(_has_begun, watched), timeout=PATIENCE, every=0.2)
            await eventually(partial(_is_replaced, watched, old), timeout=PATIENCE, every=0.05)
            scene.changes.append(monotonic())
            await eventually(partial(_is_whole, watched), timeout=PATIENCE, every=0.05)
        finally:
            await old.ask("CLIENT", "UNPAUSE")
        await _look_on(scene)


async def _has_begun(watched: EmbeddedSentinel) -> bool:
    """Whether a Sentinel has begun to put a replica in the primary's place."""
    try:
        await watched.sentinels[0].ask("SENTINEL", "FAILOVER", watched.name)
    except ResponseError:
        return False  # it has not heard of all replicas for too long
    return True


async def _kill(watched: EmbeddedSentinel, scene: Scene, crew: Crew, size: float) -> None:
    """End the primary in the middle of what it does, and start it again when another is in its place."""
    if scene.away.locked():
        return
    async with scene.away:
        old = await _primary(watched)
        await old.kill()
        await eventually(partial(_is_replaced, watched, old), timeout=PATIENCE, every=0.05)
        scene.changes.append(monotonic())
        await old.restart()
        await eventually(partial(_is_whole, watched), timeout=PATIENCE, every=0.05)
        await _look_on(scene)


async def _stop(watched: EmbeddedSentinel, scene: Scene, crew: Crew, size: float) -> None:
    """Stop the primary, and let it go on when another is in its place: for a while it takes itself for the one."""
    if scene.away.locked():
        return
    async with scene.away:
        old = await _primary(watched)
        old.pause()
        try:
            await eventually(partial(_is_replaced, watched, old), timeout=PATIENCE, every=0.05)
            scene.changes.append(monotonic())
        finally:
            old.resume()
        await eventually(partial(_is_whole, watched), timeout=PATIENCE, every=0.05)
        await _look_on(scene)


async def _look_on(scene: Scene) -> None:
    """Leave everybody the time that there is for coming back."""
    await asyncio.sleep(scene.changes[-1] + BACK - monotonic())


# What the Sentinels and the servers say ------------------------------------------------------------------------------


async def _primary(watched: EmbeddedSentinel) -> EmbeddedServer:
    (port,) = await _ports(watched)
    return next(server for server in _servers(watched) if server.port == port)


async def _ports(watched: EmbeddedSentinel) -> set[int]:
    """Where the primary is, as each of the Sentinels has it."""
    question = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", watched.name
    return {int((await watcher.ask(*question))[1]) for watcher in watched.sentinels}


async def _is_replaced(watched: EmbeddedSentinel, old: EmbeddedServer) -> bool:
    """Whether all Sentinels name another primary."""
    ports = await _ports(watched)
    return len(ports) == 1 and old.port not in ports


async def _is_copied(watched: EmbeddedSentinel, primary: EmbeddedServer) -> bool:
    """Whether the replicas have all that a primary has."""
    _, offset, _ = await primary.ask("ROLE")
    copies = [await server.ask("ROLE") for server in _servers(watched) if server is not primary]
    return all(role == "slave" and int(copied) >= int(offset) for role, *_, copied in copies)


async def _is_whole(watched: EmbeddedSentinel) -> bool:
    """Whether the other servers follow the primary that all Sentinels name, and have what it has, or nearly."""
    try:
        primary = await _primary(watched)
        roles = [await server.ask("ROLE") for server in _servers(watched) if server is not primary]
        told = (await primary.ask("ROLE"))[2]
    except (OSError, RedisError, ValueError):
        return False
    follows = [role[:1] + role[2:4] == ["slave", primary.port, "connected"] for role in roles]
    return all(follows) and len(told) == len(roles)
