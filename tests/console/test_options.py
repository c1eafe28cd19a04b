from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from aioredis_patterns.client import connect
from aioredis_patterns.console import Finding, inspect_client

NOWHERE = "redis://127.0.0.1:1"


def dangers(findings: list[Finding]) -> set[str]:
    """The topics of the warnings."""
    return {finding.topic for finding in findings if finding.level == "warning"}


def careful_client() -> Redis:
    """A client of redis-py's that nothing is to be said of."""
    pool = BlockingConnectionPool.from_url(NOWHERE, retry=Retry(NoBackoff(), 0), socket_timeout=None)
    return Redis(connection_pool=pool)


def test_options_that_endanger_are_warned_of() -> None:
    """A client that repeats commands, cuts blocking reads and runs out of connections is told so, with the figures."""
    redis = Redis(retry=Retry(NoBackoff(), 3), socket_timeout=2, health_check_interval=7, max_connections=10)
    findings = inspect_client(redis)
    assert dangers(findings) == {"retries", "socket_timeout", "health_check_interval", "pool"}
    said = {finding.topic: finding.message for finding in findings}
    assert "up to 3 times" in said["retries"]
    assert "longer than 2 s" in said["socket_timeout"]
    assert "beyond 10" in said["pool"]
    assert all(finding.remedy for finding in findings if finding.level == "warning")


def test_a_careful_client_is_left_alone() -> None:
    """Nothing is said against a client without retries and timeouts, on a pool that waits."""
    assert dangers(inspect_client(careful_client())) == set()


def test_our_own_client_is_left_alone() -> None:
    """Nothing is said against what connect() gives, whose blocking reads are not cut and which repeats nothing."""
    assert dangers(inspect_client(connect(NOWHERE))) == set()


def test_harmless_options_are_called_so() -> None:
    """That decoded replies and RESP2 change nothing for the patterns is said, and is no warning."""
    found = inspect_client(connect(NOWHERE, decode_responses=True, protocol=2))
    assert {finding.topic for finding in found if finding.level == "ok"} >= {"decode_responses", "protocol"}
    assert dangers(found) == set()


def test_a_cluster_client_is_judged_too() -> None:
    """The retries and the timeout of a RedisCluster are told of as those of a Redis."""
    redis = RedisCluster(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 4), socket_timeout=3)
    findings = inspect_client(redis)
    assert dangers(findings) == {"retries", "socket_timeout"}
    assert "up to 4 times" in findings[0].message
