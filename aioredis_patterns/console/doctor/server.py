"""What a server tells of itself in INFO, judged: each function takes the reply and says what it finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .finding import Finding, ok, warning, wrong

__all__ = ("judge_server",)

_ACCEPTED: Final = {"Redis": ((6, 2), 8), "Valkey": ((8, 0), 9)}
"""The lowest release, and the highest major number that the suite runs on."""

_LAG: Final = 10
"""Seconds behind its primary, above which a replica is told of."""

_FULL: Final = 0.9


def judge_server(info: Mapping[str, Any], snapshots: str | None) -> Iterator[Finding]:
    """Everything that INFO says.

    Args:
        info: All sections of INFO.
        snapshots: What CONFIG GET save answers; None when it is not to be known.
    """
    yield from _version(info)
    yield from _role(info)
    if _is_sentinel(info):
        return
    yield from _eviction(info)
    yield from _memory(info)
    yield from _persistence(info, snapshots)
    yield from _replicas(info)


def _version(info: Mapping[str, Any]) -> Iterator[Finding]:
    fork = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = str(info.get(f"{fork.lower()}_version", "0"))
    release = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    lowest, highest = _ACCEPTED[fork]
    needed = ".".join(map(str, lowest))
    said = f"{fork} {version}"
    if release < lowest:
        yield wrong("version", f"{said} is too old", f"install {fork} {needed} to {highest}")
    elif release[0] > highest:
        yield warning("version", f"{said} is newer than what is tested", f"{fork} {needed} to {highest} is tested")
    else:
        yield ok("version", said)


def _role(info: Mapping[str, Any]) -> Iterator[Finding]:
    if info.get("loading"):
        yield wrong("role", "it is loading its data", "wait until it has")
    if _is_sentinel(info):
        yield wrong("role", "it is a Sentinel, which keeps no data", "say redis+sentinel://host:port/service")
    elif info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        remedy = f"connect to the primary, {primary}, or through redis+sentinel://"
        yield wrong("role", "it is a replica, which takes no writes", remedy)
    else:
        yield ok("role", "it is a primary")


def _is_sentinel(info: Mapping[str, Any]) -> bool:
    return "sentinel" in (info.get("redis_mode"), info.get("server_mode"))  # Valkey has the other word


def _eviction(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        yield ok("eviction", "nothing is evicted")
        return
    when = "as soon as memory is full" if info.get("maxmemory") else "as soon as a maxmemory is set"
    yield warning(
        "eviction",
        f"maxmemory-policy is {policy}: {when}, locks, queues and sessions are dropped like any cached value",
        "CONFIG SET maxmemory-policy noeviction, or a server of their own for caches",
    )


def _memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if not limit:
        yield ok("memory", f"{used / 1e6:,.1f} MB used, no maxmemory")
    elif used < limit * _FULL:
        yield ok("memory", f"{used / 1e6:,.1f} of {limit / 1e6:,.1f} MB used")
    else:
        full = f"{used / limit:.0%} of maxmemory is used: writes are about to be refused, or keys evicted"
        yield warning("memory", full, "raise maxmemory")


def _persistence(info: Mapping[str, Any], snapshots: str | None) -> Iterator[Finding]:
    keep = "CONFIG SET appendonly yes keeps all but the last second"
    failed = [word for word in ("rdb_last_bgsave_status", "aof_last_write_status") if info.get(word, "ok") != "ok"]
    if failed:
        remedy = "see the server's log: its disk may be full"
        yield wrong("persistence", f"{' and '.join(failed)}: it may refuse every write", remedy)
    elif info.get("aof_enabled"):
        yield ok("persistence", "an append-only file is written")
    elif snapshots is None:
        yield warning("persistence", "no append-only file; whether snapshots are made is not to be known", keep)
    elif snapshots:
        yield warning(
            "persistence", f"snapshots alone (save {snapshots}): a crash loses what came after the last", keep
        )
    else:
        yield warning("persistence", "none: a restart loses every queue, session and lock", keep)


def _replicas(info: Mapping[str, Any]) -> Iterator[Finding]:
    count = int(info.get("connected_slaves", 0))
    for number in range(count):
        replica = info.get(f"slave{number}", {})
        lag, state = int(replica.get("lag", 0)), replica.get("state", "online")
        if state != "online" or lag > _LAG:
            behind = f"{replica.get('ip')}:{replica.get('port')} is {state}, {lag} s behind"
            yield warning("replicas", f"{behind}: a failover to it loses as much", "see its log and its network")
    yield ok("replicas", f"{count} connected" if count else "none: nothing takes over when this server dies")
