"""Which commands may share a connection, and which of those are safe to repeat.

Everything that is not in the table goes to a private connection of the pool: blocking reads, WAIT, MONITOR, DEBUG,
WATCH and MULTI, commands of modules, and whatever a newer server brings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = ("READ", "SHARED", "WORDS", "blocking_key", "blocking_time", "find_flags", "is_stateful", "key_of")

SHARED: Final = 1
READ: Final = 2
WORDS: Final = 4

_READS: Final = """
    BITCOUNT BITFIELD_RO BITPOS DBSIZE ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS
    GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET
    HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSTRLEN HTTL HVALS KEYS LCS LINDEX LLEN LOLWUT LPOS LRANGE MGET PEXPIRETIME
    PFCOUNT PING PTTL RANDOMKEY SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SORT_RO SRANDMEMBER
    SSCAN STRLEN SUBSTR SUNION TIME TTL TYPE XLEN XRANGE XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT
    ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK
    ZSCAN ZSCORE ZUNION
""".split()

_WRITES: Final = """
    APPEND BITFIELD BITOP COPY DECR DECRBY DEL EVAL EVALSHA EXPIRE EXPIREAT FCALL FLUSHALL FLUSHDB GEOADD GEORADIUS
    GEORADIUSBYMEMBER GEOSEARCHSTORE GETDEL GETEX GETSET HDEL HEXPIRE HEXPIREAT HGETDEL HGETEX HINCRBY HINCRBYFLOAT
    HMSET HPERSIST HPEXPIRE HPEXPIREAT HSET HSETEX HSETNX INCR INCRBY INCRBYFLOAT LINSERT LMOVE LMPOP LPOP LPUSH
    LPUSHX LREM LSET LTRIM MOVE MSET MSETNX PERSIST PEXPIRE PEXPIREAT PFADD PFMERGE PSETEX PUBLISH RENAME RENAMENX
    RESTORE RPOP RPOPLPUSH RPUSH RPUSHX SADD SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SINTERSTORE SMOVE SORT SPOP
    SPUBLISH SREM SUNIONSTORE TOUCH UNLINK XACK XADD XAUTOCLAIM XCLAIM XDEL XSETID XTRIM ZADD ZDIFFSTORE ZINCRBY
    ZINTERSTORE ZMPOP ZPOPMAX ZPOPMIN ZRANGESTORE ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZUNIONSTORE
""".split()

_WORD_READS: Final[tuple[str, ...]] = (
    "MEMORY USAGE",
    "OBJECT ENCODING",
    "OBJECT FREQ",
    "OBJECT IDLETIME",
    "OBJECT REFCOUNT",
    "SCRIPT EXISTS",
    "XINFO CONSUMERS",
    "XINFO GROUPS",
    "XINFO STREAM",
)

_WORD_WRITES: Final[tuple[str, ...]] = (
    "SCRIPT FLUSH",
    "SCRIPT LOAD",
    "XGROUP CREATE",
    "XGROUP CREATECONSUMER",
    "XGROUP DELCONSUMER",
    "XGROUP DESTROY",
    "XGROUP SETID",
)


def _each(names: Iterable[str], flags: int) -> dict[str, int]:
    return dict.fromkeys(names, flags)


_FLAGS: Final = (
    _each(_READS, SHARED | READ)
    | _each(_WRITES, SHARED)
    | _each(_WORD_READS, SHARED | READ | WORDS)
    | _each(_WORD_WRITES, SHARED | WORDS)
)

_TIMEOUT_AT: Final[dict[str, int]] = {
    "BLMOVE": -1,
    "BLMPOP": 1,
    "BLPOP": -1,
    "BRPOP": -1,
    "BRPOPLPUSH": -1,
    "BZMPOP": 1,
    "BZPOPMAX": -1,
    "BZPOPMIN": -1,
    "WAIT": -1,
    "WAITAOF": -1,
}
"""Commands that block, and which argument says for how long."""

_IN_MILLISECONDS: Final = frozenset({"WAIT", "WAITAOF"})
_STREAMS_AFTER: Final = frozenset(("XREAD", "XREADGROUP"))

_STATEFUL: Final = frozenset(
    ("ASKING", "AUTH", "CLIENT REPLY", "CLIENT TRACKING", "HELLO", "QUIT", "READONLY", "READWRITE", "RESET", "SELECT")
)
"""Commands that change what a connection is, which on a pool reaches one of its connections."""

_KEY_AFTER_COUNT: Final = frozenset(("EVAL", "EVALSHA", "EVALSHA_RO", "EVAL_RO", "FCALL", "FCALL_RO"))
_KEY_AFTER_WORD: Final = frozenset(
    (
        *("MEMORY", "OBJECT", "XGROUP", "XINFO", "BITOP"),
        *("LMPOP", "SINTERCARD", "ZDIFF", "ZINTER", "ZINTERCARD", "ZMPOP", "ZUNION"),  # the word is how many keys
    )
)

find_flags = _FLAGS.get
"""The flags of a command's name as redis-py spells it; None for what has to go to a private connection."""


def blocking_time(args: Sequence[Any]) -> float | None:
    """Seconds that a command may block on the server: 0 when it does not block, None when it may for ever."""
    name = _word(args[0])
    if name in _STREAMS_AFTER:
        at = _find_option(args, "BLOCK")
        return 0 if at is None else _seconds(args, at + 1, 0.001)
    if name not in _TIMEOUT_AT:
        return 0
    return _seconds(args, _TIMEOUT_AT[name], 0.001 if name in _IN_MILLISECONDS else 1)


def blocking_key(args: Sequence[Any]) -> Any:
    """The first key of a command that may block; None when it is no such command, or has no key."""
    name = _word(args[0])
    if name in _STREAMS_AFTER:
        at = _find_option(args, "STREAMS")
        return None if at is None else args[at + 1]
    if name not in _TIMEOUT_AT or name in _IN_MILLISECONDS:
        return None
    return args[3] if _TIMEOUT_AT[name] == 1 else args[1]


def is_stateful(args: Sequence[Any]) -> bool:
    """Whether a command changes what a connection is, its name given as one word or two."""
    words = [_word(arg) for arg in args[:2]]
    return words[0] in _STATEFUL or " ".join(words) in _STATEFUL


def _word(arg: Any) -> str:
    return (arg.decode("latin-1") if isinstance(arg, bytes) else str(arg)).upper()


def _find_option(args: Sequence[Any], word: str) -> int | None:
    """Where an option of a stream read stands; group and consumer before it, and keys behind it, may be any word."""
    words = [_word(arg) for arg in args]
    start = 4 if words[1:2] == ["GROUP"] else 1
    end = words.index("STREAMS", start) + 1 if "STREAMS" in words[start:] else len(words)
    return words.index(word, start, end) if word in words[start:end] else None


def _seconds(args: Sequence[Any], at: int, unit: float) -> float | None:
    try:
        value = float(args[at])
    except (IndexError, TypeError, ValueError):
        return 0  # the server refuses it at once
    return value * unit or None if math.isfinite(value) else 0


def key_of(args: Sequence[Any]) -> Any:
    """The first key of a command in the table; an empty string when it has none."""
    name = args[0]
    at = 3 if name in _KEY_AFTER_COUNT else 2 if name in _KEY_AFTER_WORD else 1
    return args[at] if len(args) > at else ""
