"""Where Sentinels watch a primary and two replicas, of which one takes its place: in order, or when it has died."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
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
_NEVER_DOWN = "down-after-milliseconds", 60_000
_SOON_DOWN, _SOON_AGAIN = ("down-after-milliseconds", 1000), ("failover-timeout", 1500)
"""What the Sentinels are told: after how much silence the primary counts as dead; twice the other is between tries."""


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
        yield await _scene(watched, own, (*_SOON_DOWN, *_SOON_AGAIN), keeps=False)


async def _scene(
    watched: EmbeddedSentinel, own: dict[str, tuple[int, Disturb]], terms: tuple[str | int, ...], *, keeps: bool = True
) -> Scene:
    for watcher in watched.sentinels:
        await watcher.ask("SENTINEL", "SET", watched.name, *terms)
    addresses = ",".join(f"{watcher.host}:{watcher.port}" for watcher in watched.sentinels)
    url = f"redis+sentinel://{addresses}/{watched.name}/0"
    never: dict[str, tuple[int, Disturb]] = dict.fromkeys(FOR_ONE_SERVER, (0, nothing))
    never["nothing"] = (40, nothing)  # so that the rest happens as often as elsewhere
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
        await old.ask("CLIENT", "PAUSE", 2 * round(PATIENCE * 1000), "WRITE")
        try:
            await eventually(partial(_is_copied, watched, old), timeout=PATIENCE)
            await eventually(partial(_took_over, watched, old), timeout=PATIENCE, every=0.1)
            scene.changes.append(monotonic())
            await old.ask("REPLICAOF", str(old.host), str((await _primary(watched)).port))
        finally:
            await old.ask("CLIENT", "UNPAUSE")  # before this the Sentinels cannot tell it anything
        await _settle(watched, scene)


async def _took_over(watched: EmbeddedSentinel, old: EmbeddedServer) -> bool:
    """Whether a replica is in the primary's place; asks for it again when Sentinel gave up."""
    if old.port in await _ports(watched.sentinels[:1], watched.name):
        with contextlib.suppress(ResponseError):  # it is about it, or has not heard of the replicas for too long
            await watched.sentinels[0].ask("SENTINEL", "FAILOVER", watched.name)
    return await _is_replaced(watched, old)


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
        await _settle(watched, scene)


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
        await _settle(watched, scene)


async def _settle(watched: EmbeddedSentinel, scene: Scene) -> None:
    """Wait until the others follow, and leave everybody the time that there is for coming back."""
    try:
        await eventually(partial(_is_whole, watched), timeout=PATIENCE, every=0.05)
    except AssertionError as error:
        for server in _servers(watched):
            error.add_note(f"{server.port}: {await server.ask('ROLE')}")
        error.add_note(f"named by each Sentinel: {[await _ports([one], watched.name) for one in watched.sentinels]}")
        raise
    await asyncio.sleep(scene.changes[-1] + BACK - monotonic())


# What the Sentinels and the servers say ------------------------------------------------------------------------------


async def _primary(watched: EmbeddedSentinel) -> EmbeddedServer:
    (port,) = await _ports(watched.sentinels, watched.name)
    return next(server for server in _servers(watched) if server.port == port)


async def _ports(sentinels: Sequence[EmbeddedServer], name: str) -> set[int]:
    """Where the primary is, as each of the Sentinels has it."""
    return {int((await one.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name))[1]) for one in sentinels}


async def _is_replaced(watched: EmbeddedSentinel, old: EmbeddedServer) -> bool:
    """Whether all Sentinels name another primary."""
    ports = await _ports(watched.sentinels, watched.name)
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
        kind, _, told, *_ = await primary.ask("ROLE")
    except (OSError, RedisError, ValueError):
        return False
    follows = [role[:1] + role[2:4] == ["slave", primary.port, "connected"] for role in roles]
    return kind == "master" and all(follows) and len(told) == len(roles)  # it may be replaced meanwhile
