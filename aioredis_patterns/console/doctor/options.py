"""Client options that endanger the user: of a client that is there, or in the query of a URL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, RedisCluster
from redis.asyncio.connection import parse_url

from aioredis_patterns.client import PipelinedRedis
from aioredis_patterns.types import AnyRedis

from .finding import Finding, ok, warning

__all__ = ("inspect_client", "inspect_url")


@dataclass(frozen=True, slots=True)
class _Options:
    """What a connection does, as far as it matters here."""

    retries: int
    socket_timeout: float | None
    health_check_interval: float
    decode_responses: bool
    protocol: int


def inspect_client(redis: AnyRedis) -> list[Finding]:
    """What the options of a client endanger, without a command being sent.

    It concerns the commands that you send yourself: the patterns use connections of their own on which nothing is
    repeated and no read is cut short.

    Args:
        redis: Any asyncio client of redis-py.

    Example:
        >>> from redis.asyncio import Redis
        >>> findings = inspect_client(Redis(socket_timeout=5))
        >>> {finding.topic for finding in findings if finding.level == "warning"} >= {"socket_timeout", "pool"}
        True
    """
    options = _options_of(redis)
    if isinstance(redis, PipelinedRedis):
        return [ok("client", "commands share one connection, and nothing is sent twice"), *_shapes(options)]
    findings = [*_retries(options.retries), *_timeout(options.socket_timeout), *_checks(options.health_check_interval)]
    if not isinstance(redis, RedisCluster):
        findings += _pool(redis.connection_pool)
    return [*findings, *_shapes(options)]


def inspect_url(url: str) -> list[Finding]:
    """What the options in a URL's query endanger, in whatever client is made of it.

    Raises:
        ValueError: An option has no value of its kind.
    """
    given: dict[str, Any] = dict(parse_url(f"redis://host?{urlsplit(url).query}"))
    findings = [*_timeout(given.get("socket_timeout")), *_checks(given.get("health_check_interval", 0))]
    if given.get("retry_on_timeout") or given.get("retry_on_error"):
        findings += _retries(1)
    return findings


def _options_of(redis: AnyRedis) -> _Options:
    if isinstance(redis, RedisCluster):
        given = redis.connection_kwargs
        return _Options(
            retries=_count(getattr(redis, "retry", None)),
            socket_timeout=given.get("socket_timeout"),
            health_check_interval=given.get("health_check_interval") or 0,
            decode_responses=bool(given.get("decode_responses")),
            protocol=int(given.get("protocol") or 3),
        )
    connection = redis.connection_pool.make_connection()
    return _Options(
        retries=_count(connection.retry),
        socket_timeout=connection.socket_timeout,
        health_check_interval=connection.health_check_interval,
        decode_responses=connection.encoder.decode_responses,
        protocol=int(connection.protocol),
    )


def _count(retry: Any) -> int:
    return int(getattr(retry, "_retries", 0))  # get_retries() is not there in every version


def _retries(count: int) -> Iterator[Finding]:
    if count:
        yield warning(
            "retries",
            f"a command whose reply was lost is sent again, up to {count} times: INCR or RPUSH may be done twice",
            "connect(url), or retry=Retry(NoBackoff(), 0) and no retry_on_timeout",
        )
    else:
        yield ok("retries", "nothing is sent twice")


def _timeout(seconds: float | None) -> Iterator[Finding]:
    if seconds is not None:
        yield warning(
            "socket_timeout",
            f"a blocking read (BLPOP, XREADGROUP, pub/sub) that waits longer than {seconds:g} s fails",
            "socket_timeout=None, and asyncio.timeout() around calls that must end; or connect(url)",
        )


def _checks(interval: float) -> Iterator[Finding]:
    if interval:
        yield warning(
            "health_check_interval",
            f"after {interval:g} s of silence a command waits for a PING first, which proves nothing for the command",
            "health_check_interval=0",
        )


def _pool(pool: Any) -> Iterator[Finding]:
    if not isinstance(pool, BlockingConnectionPool):
        yield warning(
            "pool",
            f"the commands that run at the same time beyond {pool.max_connections} raise an error",
            "connect(url), whose commands share one connection, or a BlockingConnectionPool",
        )


def _shapes(options: _Options) -> Iterator[Finding]:
    if options.decode_responses:
        yield ok("decode_responses", "the patterns work the same with it")
    if options.protocol == 2:
        yield ok("protocol", "RESP2; where pushes are needed, the patterns open a connection with RESP3 of their own")
