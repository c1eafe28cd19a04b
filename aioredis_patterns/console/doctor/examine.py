"""The whole examination: of one server, or of each primary of a cluster."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from aioredis_patterns._core.keys import PREFIX
from aioredis_patterns.client import PipelinedRedis, connect
from aioredis_patterns.errors import PatternError

from .answers import check_answers, check_scripts
from .finding import Finding, ok, warning, wrong
from .options import inspect_url
from .rights import check_rights
from .server import judge_server

__all__ = ("examine",)

_AUTHORITY: Final = re.compile(r"(?<=://)(?P<user>[^/?#]*@)?[^/?#]*")


async def examine(url: str, *, timeout: float = 5.0, prefix: str = PREFIX) -> list[Finding]:
    """Everything that can be found out about the server at a URL, within the timeout.

    Promise: an answer comes in time whatever the server does, and nothing is left behind but keys that live for a
    second. What was found before a failure is told as well.

    Args:
        url: As `connect` takes it.
        timeout: Seconds that all of it may take.
        prefix: First part of the keys that will be used.

    Example:
        >>> findings = await examine("redis://localhost:6379/0")
        >>> {finding.level for finding in findings if finding.topic in ("version", "rights", "scripts")}
        {'ok'}
    """
    found: list[tuple[str, Finding]] = []
    try:
        async with asyncio.timeout(timeout), _client(url, timeout) as redis:
            found += [("", finding) for finding in inspect_url(url)]
            async for at, finding in _examine(redis, url, timeout, prefix):
                found.append((at, finding))  # what came before a failure is kept
    except (RedisError, RedisClusterException, PatternError, OSError, ValueError) as error:
        found.append(("", _failure(error, timeout)))
    return _told_once(found)


def _client(url: str, timeout: float) -> PipelinedRedis:
    """A client of the URL whose options redis-py has been seen to take, which it looks at when it connects."""
    try:
        redis = connect(url, deadline=timeout)
        redis.connection_pool.make_connection()
    except (TypeError, NameError, RedisError) as error:  # NameError: redis-py 5, for a protocol that is no number
        raise ValueError(f"redis-py does not take an option of it: {error}") from error
    return redis


async def _examine(redis: PipelinedRedis, url: str, timeout: float, prefix: str) -> AsyncIterator[tuple[str, Finding]]:
    serves = True
    for at, node in (await _nodes(redis, url)).items():
        async with connect(node, deadline=timeout) as pool_owner:
            single = Redis(connection_pool=pool_owner.connection_pool, single_connection_client=True)
            async with single:
                async for finding in _examine_node(single, bool(at), timeout, prefix):
                    serves = serves and finding.level != "error"
                    yield at, finding
    if serves:
        async for finding in check_scripts(redis, prefix, _name()):
            yield "", finding


async def _nodes(redis: PipelinedRedis, url: str) -> dict[str, str]:
    """The URL, or by its address that of each primary of the cluster."""
    cluster = getattr(redis, "cluster_client", None)
    if cluster is None:
        return {"": url}
    await cluster.initialize()
    single = url.replace("+cluster", "", 1)
    addresses = [f"[{node.host}]:{node.port}" if ":" in node.host else node.name for node in cluster.get_primaries()]
    return {at: _AUTHORITY.sub(rf"\g<user>{at}", single, count=1) for at in addresses}


async def _examine_node(redis: Redis, clustered: bool, timeout: float, prefix: str) -> AsyncIterator[Finding]:
    await redis.initialize()
    try:
        info: dict[str, Any] = await redis.info("all")
    except NoPermissionError:
        lost = "INFO is refused, so version, role, memory and persistence are not to be known"
        yield warning("server", lost, "ACL SETUSER <user> +info")
    else:
        for finding in judge_server(info, await _snapshots(redis)):
            yield finding
        async for finding in _cluster(redis, info, clustered):
            yield finding
        if info.get("role") != "master" or info.get("loading"):
            return
    async for finding in check_answers(redis):
        yield finding
    async for finding in check_rights(redis, prefix, _name(), timeout):
        yield finding


async def _snapshots(redis: Redis) -> str | None:
    try:
        settings = await redis.config_get("save")
    except ResponseError:  # no right to it, or a service that has no CONFIG
        return None
    return str(settings.get("save", ""))


async def _cluster(redis: Redis, info: dict[str, Any], clustered: bool) -> AsyncIterator[Finding]:
    if not info.get("cluster_enabled"):
        return
    if not clustered:
        yield wrong("cluster", "it is a node of a cluster, and owns some of the keys only", "say redis+cluster://")
        return
    try:
        answer: Any = await redis.execute_command("CLUSTER INFO")
    except NoPermissionError:
        return
    state = answer["cluster_state"]
    if state == "ok":
        yield ok("cluster", "it is up")
    else:
        yield wrong("cluster", f"its state is {state}: it refuses commands", "see CLUSTER NODES for what is missing")


def _failure(error: Exception, timeout: float) -> Finding:
    """What ended the examination, as a finding."""
    if isinstance(error, AuthenticationError | NoPermissionError):
        return wrong("login", f"the server refuses this user: {error}", "say redis://user:password@host")
    if isinstance(error, BusyLoadingError):
        return wrong("role", "it is loading its data", "wait until it has")
    if isinstance(error, TimeoutError):
        return wrong("reach", f"no answer within {timeout:g} s", "see host, port, TLS (rediss://) and firewall")
    if isinstance(error, ValueError):
        return wrong("url", str(error), "correct the URL")
    return wrong("reach", str(error) or type(error).__name__, "see host, port, TLS (rediss://) and firewall")


def _told_once(found: list[tuple[str, Finding]]) -> list[Finding]:
    """What all nodes of a cluster have in common is said once, the rest with the address."""
    nodes = {at for at, _ in found if at}
    places: dict[Finding, list[str]] = {}
    for at, finding in found:
        places.setdefault(finding, []).append(at)
    return [
        finding if set(at) in ({""}, nodes) else replace(finding, message=f"{', '.join(at)}: {finding.message}")
        for finding, at in places.items()
    ]


def _name() -> str:
    return f"doctor-{secrets.token_hex(6)}"
