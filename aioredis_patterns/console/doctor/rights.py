"""Which of the commands, keys and channels that the library uses this user may use.

They are tried, not looked up: ACL DRYRUN needs a right that those who lack another one lack too, and is not there
before Redis 7. Every try is harmless. Where a command would make a key, it meets a string that expires in a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from aioredis_patterns._core.keys import PREFIX

from .finding import Finding, ok, warning, wrong

__all__ = ("TRIED", "check_rights")

_HARMLESS: Final = (
    *("PING", "TIME", "EVAL return 1 KEY", f"EVALSHA {'0' * 40} 1 KEY", "SCRIPT LOAD return"),
    *("GET KEY", "GETDEL KEY", "MGET KEY", "GETRANGE KEY 0 0", "EXISTS KEY", "PTTL KEY"),
    *("HGET KEY field", "HMGET KEY field", "HGETALL KEY", "HEXISTS KEY field", "HDEL KEY field", "HRANDFIELD KEY"),
    *("LINDEX KEY 0", "LLEN KEY", "LRANGE KEY 0 0", "LTRIM KEY 0 1", "LPOP KEY", "RPOP KEY"),
    *(
        "ZRANGE KEY 0 0",
        "ZRANDMEMBER KEY 1",
        "ZREM KEY member",
        "ZSCORE KEY member",
        "ZPOPMIN KEY",
        "ZREMRANGEBYSCORE KEY 0 0",
    ),
    *("ZREVRANK KEY member", "ZREVRANGE KEY 0 0", "PEXPIREAT KEY 1"),
    *("PFCOUNT KEY", "SINTER KEY", "SUNION KEY", "SMEMBERS KEY", "SISMEMBER KEY member"),
    *("SRANDMEMBER KEY", "SREM KEY member", "SSCAN KEY 0"),
    *(
        "ZRANK KEY member",
        "ZCARD KEY",
        "ZCOUNT KEY 0 0",
        "ZRANGEBYSCORE KEY 0 0",
        "ZREVRANGEBYSCORE KEY 0 0",
        "SCARD KEY",
    ),
    *("GETBIT KEY 0", "BITCOUNT KEY", "BITOP OR KEY KEY", "STRLEN KEY", "XREVRANGE KEY + - COUNT 1"),
    *(
        "XRANGE KEY - + COUNT 1",
        "XLEN KEY",
        "XDEL KEY 0-1",
        "XTRIM KEY MAXLEN 1",
        "XPENDING KEY group",
        "XINFO GROUPS KEY",
    ),
    *("XACK KEY group 0-1", "XCLAIM KEY group me 0 0-1", "XGROUP DELCONSUMER KEY group me"),
    "XREADGROUP GROUP group me STREAMS KEY >",
    *("HLEN KEY", "HPEXPIRE KEY 1000 FIELDS 1 field"),
    *("PUBLISH CHANNEL nothing",),
)
"""Commands that change nothing where there is no key."""

_STRING: Final = "SET KEY x PX 1000"

_ON_A_STRING: Final = (
    *("PEXPIRE KEY 1000", "COPY KEY KEY", "RENAME KEY KEY", "SETRANGE KEY 0 x", "INCR KEY"),
    *("HSET KEY field value", "HSETNX KEY field value", "LPUSH KEY item", "RPUSH KEY item", "LSET KEY 0 item"),
    "LMOVE KEY KEY LEFT LEFT",
    *("PFADD KEY item", "INCRBY KEY 0", "ZADD KEY 1 member", "ZINCRBY KEY 1 member"),
    *("SADD KEY member", "HINCRBY KEY field 1", "HINCRBYFLOAT KEY field 1", "SETBIT KEY 0 0", "XADD KEY * field value"),
)
"""Commands that refuse a string, or leave its expiry as it is; where there is no key they would make one."""

_END: Final = "DEL KEY"

_OPTIONAL: Final = (f"CLIENT KILL ID {2**62}", "CLIENT INFO", "INFO server")
"""What the library does without: it ends a connection that it has lost, so that nothing more is executed there; and a
server of a `Redlock` says how long it has been up."""

TRIED: Final = frozenset(line.split()[0] for line in (*_HARMLESS, _STRING, *_ON_A_STRING, _END, *_OPTIONAL))
"""Every command that is tried; a script that calls another one has to add it."""

_TWO_WORDS: Final = frozenset(("CLIENT", "SCRIPT"))


class _Refusal(NamedTuple):
    """What the user may not, and the rule that would let him."""

    what: str
    rule: str


async def check_rights(redis: Redis, prefix: str, name: str, timeout: float) -> AsyncIterator[Finding]:
    """Try everything.

    Args:
        redis: A client of one connection.
        prefix: First part of the user's keys.
        name: A name that nobody else uses.
        timeout: Seconds that a subscription may take.
    """
    key, loaded, inbox = f"{prefix}:{{{name}}}:rights", f"{prefix}:{{{name}}}:loaded", f"{PREFIX}:inbox:{name}"
    missing = [item for line in _HARMLESS if (item := await _refusal(redis, line, key, loaded))]
    missing += await _refused_writes(redis, key)
    missing += [item for channel in (inbox, loaded) if (item := await _refused_channel(redis, channel, timeout))]
    if missing:
        yield wrong("rights", f"this user may not use {_listed(missing)}", _granting(missing))
    else:
        yield ok("rights", "this user may do all that is needed")
    if wanted := [item for line in _OPTIONAL if (item := await _refusal(redis, line, key, loaded))]:
        loss = "what was written to a connection that broke may be executed later than expected, "
        loss += "and a Redlock may trust a server that has forgotten its locks"
        yield warning("rights", f"this user may not use {_listed(wanted)}: {loss}", _granting(wanted))


async def _refused_writes(redis: Redis, key: str) -> list[_Refusal]:
    string = await _refusal(redis, _STRING, key, "")
    lines = (_END,) if string else (*_ON_A_STRING, _END)
    return [item for item in [string] + [await _refusal(redis, line, key, "") for line in lines] if item]


async def _refusal(redis: Redis, line: str, key: str, channel: str) -> _Refusal | None:
    words = line.split()
    try:
        await redis.execute_command(*({"KEY": key, "CHANNEL": channel}.get(word, word) for word in words))
    except NoPermissionError as error:
        return _refusal_of(error, words, key, channel)
    except ResponseError:
        pass  # it was let through, and only then found to make no sense
    return None


async def _refused_channel(redis: Redis, channel: str, timeout: float) -> _Refusal | None:
    async with redis.pubsub() as subscriber:
        try:
            await subscriber.subscribe(channel)
            await subscriber.get_message(timeout=timeout)
        except NoPermissionError as error:
            return _refusal_of(error, ["SUBSCRIBE"], "", channel)
    return None


def _refusal_of(error: NoPermissionError, words: list[str], key: str, channel: str) -> _Refusal:
    """The servers say in words whether it is the command, the key or the channel."""
    if "channel" in str(error):
        pattern = f"{channel.partition(':')[0]}:*"
        return _Refusal(f"the channels {pattern}", f"&{pattern}")
    if " key" in str(error):
        pattern = f"{key.partition(':{')[0]}:*"
        return _Refusal(f"the keys {pattern}", f"~{pattern}")
    name = words[:2] if words[0] in _TWO_WORDS else words[:1]
    return _Refusal(" ".join(name), "+" + "|".join(name).lower())


def _listed(missing: Iterable[_Refusal]) -> str:
    return ", ".join(dict.fromkeys(item.what for item in missing))


def _granting(missing: Iterable[_Refusal]) -> str:
    return f"ACL SETUSER <user> {' '.join(dict.fromkeys(item.rule for item in missing))}"
