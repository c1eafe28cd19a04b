from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aioredis_patterns.client import connect
from aioredis_patterns.console import examine
from aioredis_patterns.console.doctor.finding import Finding, Level, exit_code
from aioredis_patterns.console.doctor.rights import TRIED
from aioredis_patterns.console.doctor.server import judge_server
from aioredis_patterns.embedded import EmbeddedServer, embedded_cluster, embedded_sentinel, embedded_server
from tests.console.command import command, without_rich
from tests.support.source import LUA
from tests.support.waiting import eventually

KEEPING = ("--appendonly", "yes")
HEALTHY = {
    "redis_version": "7.4.0",
    "redis_mode": "standalone",
    "role": "master",
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "used_memory": 1_000_000,
    "aof_enabled": 1,
    "connected_slaves": 0,
}


async def diagnosis(url: str, *options: str) -> tuple[int | None, dict[str, dict[str, str]]]:
    """The exit code, and the worst finding of each topic, of the command with --json."""
    answer = await command("doctor", url, "--json", *options)
    findings = json.loads(answer.out)
    assert answer.err == ""
    return answer.code, {item["topic"]: item for item in sorted(findings, key=lambda item: order(item["level"]))}


def order(level: Level) -> int:
    """How bad it is."""
    return exit_code([Finding(level, "", "")])


def levels(findings: list[Finding]) -> dict[str, Level]:
    """The worst level of each topic."""
    return {item.topic: item.level for item in sorted(findings, key=lambda item: order(item.level))}


async def test_a_good_server_gets_0() -> None:
    """A server that keeps what it is told, evicts nothing and lets the user do everything needs no remark."""
    async with embedded_server(args=KEEPING) as server:
        code, found = await diagnosis(server.url)
    assert {item["level"] for item in found.values()} == {"ok"}
    assert found["version"]["message"].endswith(f" {server.version}")
    assert found.keys() >= {"eviction", "persistence", "replicas", "role", "latency", "clock", "rights", "scripts"}
    assert code == 0


async def test_a_server_that_forgets_gets_1(own_server: EmbeddedServer) -> None:
    """Without persistence there is a warning, and a remedy that cures it."""
    code, found = await diagnosis(own_server.url)
    assert (code, found["persistence"]["level"]) == (1, "warning")
    await own_server.ask(*found["persistence"]["remedy"].split()[:4])
    assert (await diagnosis(own_server.url))[0] == 0


async def test_eviction_is_a_warning() -> None:
    """A policy that may drop a lock like any cached value is told of."""
    async with embedded_server(args=[*KEEPING, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"]) as server:
        code, found = await diagnosis(server.url)
    assert (code, found["eviction"]["level"]) == (1, "warning")
    assert "allkeys-lru: as soon as memory is full" in found["eviction"]["message"]


async def test_full_memory_is_an_error() -> None:
    """A server that refuses to write cannot serve, and says so in its own words."""
    async with embedded_server(args=[*KEEPING, "--maxmemory", "1"]) as server:
        code, found = await diagnosis(server.url)
    assert (code, found["memory"]["level"], found["scripts"]["level"]) == (2, "warning", "error")
    assert "OOM" in found["scripts"]["message"] or "maxmemory" in found["scripts"]["message"]


async def test_a_replica_cannot_serve(own_server: EmbeddedServer) -> None:
    """A replica takes no writes, and the remedy names its primary; when it is in step the primary is well."""
    async with embedded_server(args=["--appendonly", "no"]) as replica:
        await replica.ask("REPLICAOF", str(own_server.host), str(own_server.port))
        code, found = await diagnosis(replica.url)
        assert (code, found["role"]["level"]) == (2, "error")
        assert f"{own_server.host}:{own_server.port}" in found["role"]["remedy"]
        await eventually(lambda: has_replica_in_step(own_server.url))


async def has_replica_in_step(url: str) -> bool:
    """Whether the doctor finds one replica, and nothing wrong with it."""
    return [item.message for item in await examine(url) if item.topic == "replicas"] == ["1 connected"]


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ("~* &* +@all -evalsha", "EVALSHA"),
        ("~* &* +@all -zadd -getrange", "GETRANGE, ZADD"),
        ("~* &* +@all -set", "SET"),
        ("~* &* +@all -del", "DEL"),
        ("~* &* +@all -time", "TIME"),
        ("~* &* +@all -subscribe", "SUBSCRIBE"),
        ("~* &* +@all -script", "SCRIPT LOAD"),
        ("~app:* &* +@all", "the keys arp:*"),
        ("~* resetchannels &app:* +@all", "the channels arp:*"),
    ],
)
async def test_a_missing_right_cannot_serve(rules: str, refused: str, own_server: EmbeddedServer) -> None:
    """What the user may not is named, and the remedy given lets the user do it."""
    await own_server.ask("ACL", "SETUSER", "low", "on", ">pw", *rules.split())
    url = own_server.url.replace("://", "://low:pw@")
    code, found = await diagnosis(url)
    assert (code, found["rights"]["level"]) == (2, "error")
    assert found["rights"]["message"] == f"this user may not use {refused}"
    await own_server.ask(*found["rights"]["remedy"].replace("<user>", "low").split())
    assert levels(await examine(url))["rights"] == "ok"


async def test_a_right_that_is_not_needed_is_a_warning(own_server: EmbeddedServer) -> None:
    """A user who may not kill connections or read INFO is served, with what is lost by it."""
    await own_server.ask("ACL", "SETUSER", "low", "on", ">pw", "~*", "&*", "+@all", "-info", "-client")
    code, found = await diagnosis(own_server.url.replace("://", "://low:pw@"))
    assert (code, found["rights"]["level"], found["server"]["level"]) == (1, "warning", "warning")
    assert "CLIENT KILL" in found["rights"]["message"]
    assert found["scripts"]["level"] == "ok"


async def test_rights_are_tried_for_the_prefix_in_use(own_server: EmbeddedServer) -> None:
    """A user who is limited to keys of an own prefix is served when that is the prefix said."""
    await own_server.ask(
        "ACL", "SETUSER", "low", "on", ">pw", "~app:*", "resetchannels", "&app:*", "&arp:inbox:*", "+@all"
    )
    url = own_server.url.replace("://", "://low:pw@")
    _, found = await diagnosis(url, "--prefix", "app")
    assert found["rights"]["level"] == found["scripts"]["level"] == "ok"


def test_every_command_of_a_script_is_tried() -> None:
    """No script of the library calls a command whose right the doctor does not check."""
    called = {name for path in LUA for name in re.findall(r"redis\.p?call\('([A-Z]+)'", path.read_text())}
    assert called - TRIED == set()


@pytest.mark.parametrize("login", ["default:wrong@", "nobody:x@", ""])
async def test_a_refused_login_cannot_serve(login: str) -> None:
    """A wrong password, an unknown user and a missing password are told apart from a server that is not there."""
    async with embedded_server(args=["--requirepass", "secret"]) as server:
        code, found = await diagnosis(server.url.replace("://", f"://{login}"))
    assert (code, found.keys()) == (2, {"login"})
    assert "secret" not in str(found)


async def test_nothing_listening_cannot_serve(own_server: EmbeddedServer) -> None:
    """A port where nobody listens is told of at once."""
    await own_server.kill()
    answer = await command("doctor", own_server.url, "--json", "--timeout", "60")
    assert answer.code == 2
    assert [item["topic"] for item in json.loads(answer.out)] == ["reach"]
    assert answer.seconds < 20


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1", "one server"])
async def test_what_is_no_cluster_cannot_serve_as_one(own_server: EmbeddedServer, url: str) -> None:
    """A cluster that nobody answers for, and a server without one, are told of as any server that is not reached."""
    code, found = await diagnosis(url if "://" in url else f"redis+cluster://127.0.0.1:{own_server.port}")
    assert (code, found.keys()) == (2, {"reach"})


async def test_a_silent_server_is_given_up_in_time(own_server: EmbeddedServer) -> None:
    """A server that takes the connection and says nothing costs no more than the timeout."""
    own_server.pause()
    loop = asyncio.get_running_loop()
    started = loop.time()
    findings = await examine(own_server.url, timeout=0.5)
    assert 0.4 < loop.time() - started < 1.5
    assert findings == [Finding("error", "reach", "no answer within 0.5 s", findings[0].remedy)]


@pytest.mark.parametrize(
    "url",
    [
        "localhost",
        *(f"redis{kind}://127.0.0.1:1{end}" for kind in ("", "+cluster") for end in ("/x", "?protocol=x", "?typo=1")),
        "redis+cluster://127.0.0.1:1?db=1",
    ],
)
async def test_a_wrong_url_is_told_of(url: str) -> None:
    """What is no URL, or has an option that is none, is an error of its own and no traceback."""
    code, found = await diagnosis(url)
    assert (code, found.keys()) == (2, {"url"})


async def test_options_in_the_url_are_judged(own_server: EmbeddedServer) -> None:
    """What a URL asks for that endangers its user is a warning each."""
    code, found = await diagnosis(f"{own_server.url}?socket_timeout=3&retry_on_timeout=yes&health_check_interval=9")
    dangers = {topic for topic, item in found.items() if item["level"] == "warning"}
    assert (code, dangers) == (1, {"socket_timeout", "retries", "health_check_interval", "persistence"})


async def test_nothing_is_left_behind(own_server: EmbeddedServer) -> None:
    """What the doctor writes is gone within seconds, and what was there is as it was."""
    async with connect(own_server.url) as redis:
        await redis.set("arp:{mine}:lock", "held")
        await examine(own_server.url)
        await eventually(lambda: alone(redis))
        assert await redis.get("arp:{mine}:lock") == b"held"


async def alone(redis: Any) -> bool:
    """Whether there is but one key."""
    return bool(await redis.dbsize() == 1)


async def test_a_cluster_is_examined_on_every_primary() -> None:
    """All primaries of a cluster are asked; a node of one that is taken for a server cannot serve."""
    async with embedded_cluster(masters=3, replicas=0) as cluster:
        await cluster.masters[1].ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        findings = await examine(cluster.url)
        assert levels(findings).items() >= {"cluster": "ok", "rights": "ok", "scripts": "ok"}.items()
        [eviction] = [item for item in findings if item.topic == "eviction" and item.level == "warning"]
        assert eviction.message.startswith(f"127.0.0.1:{cluster.masters[1].port}: ")
        assert levels(await examine(cluster.masters[0].url))["cluster"] == "error"


async def test_a_sentinel_is_no_server() -> None:
    """Through Sentinels the primary is examined; a Sentinel that is taken for a server cannot serve."""
    async with embedded_sentinel() as sentinel:
        assert levels(await examine(sentinel.url))["scripts"] == "ok"
        assert levels(await examine(sentinel.sentinels[0].url))["role"] == "error"


async def test_findings_as_json_need_no_rich(own_server: EmbeddedServer, tmp_path: Path) -> None:
    """With --json the doctor works where rich is not installed, and says the same four things of each finding."""
    answer = await command("doctor", own_server.url, "--json", environment=without_rich(tmp_path))
    findings = json.loads(answer.out)
    assert answer.code == 1
    assert {tuple(item) for item in findings} == {("level", "topic", "message", "remedy")}


async def test_findings_are_lines_to_a_pipe(own_server: EmbeddedServer) -> None:
    """Without --json every finding is a line, with its remedy under it, and a verdict comes last."""
    answer = await command("doctor", own_server.url)
    assert re.search(r"^warning +persistence +none: .*\n +-> CONFIG SET appendonly yes", answer.out, re.MULTILINE)
    assert answer.out.endswith("It serves; mind the warnings.\n")


@pytest.mark.parametrize(
    ("told", "topic", "level"),
    [
        ({"redis_version": "6.0.16"}, "version", "error"),
        ({"redis_version": "6.2.0"}, "version", "ok"),
        ({"redis_version": "9.0.0"}, "version", "warning"),
        ({"server_name": "valkey", "valkey_version": "7.2.5"}, "version", "error"),
        ({"server_name": "valkey", "valkey_version": "9.1.2"}, "version", "ok"),
        ({"loading": 1}, "role", "error"),
        ({"maxmemory": 1_050_000}, "memory", "warning"),
        ({"maxmemory": 9_000_000}, "memory", "ok"),
        ({"aof_last_write_status": "err"}, "persistence", "error"),
        ({"rdb_last_bgsave_status": "err"}, "persistence", "error"),
        ({"aof_enabled": 0}, "persistence", "warning"),
        ({"connected_slaves": 1, "slave0": {"state": "online", "lag": 60}}, "replicas", "warning"),
        ({"connected_slaves": 1, "slave0": {"state": "wait_bgsave", "lag": 0}}, "replicas", "warning"),
        ({"connected_slaves": 1, "slave0": {"state": "online", "lag": 1}}, "replicas", "ok"),
    ],
)
def test_what_a_server_tells_is_judged(told: dict[str, Any], topic: str, level: Level) -> None:
    """Each thing that INFO tells gets its level, and nothing else in it is found wrong."""
    found = levels(list(judge_server(HEALTHY | told, "3600 1")))
    assert found[topic] == level
    assert {item for other, item in found.items() if other != topic} == {"ok"}
