"""The Lua files: each is used, says in its header what its body takes, and keeps the rules of scripts."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import pytest

from aioredis_patterns._core.lua import KNOWN
from aioredis_patterns.embedded import EmbeddedServer
from tests.support.source import LUA, PACKAGE, at, module_of, nodes, report, ROOT

WITHOUT_EXPIRY = {
    "cache_expire": "SETRANGE changes bytes of an entry that exists, and leaves its time to live",
}
"""Scripts that write without setting an expiry, with the reason."""

KEYLESS = {"TIME", "PUBLISH"}
CREATING = set(
    "SET GETSET SETNX APPEND SETRANGE SETBIT BITFIELD INCR INCRBY INCRBYFLOAT DECR DECRBY HSET HSETNX HINCRBY "
    "HINCRBYFLOAT LPUSH RPUSH LMOVE SADD SMOVE ZADD ZINCRBY ZUNIONSTORE ZRANGESTORE PFADD PFMERGE XADD COPY RENAME".split()
)
EXPIRING = {"PEXPIRE", "PEXPIREAT", "EXPIRE", "EXPIREAT", "PX", "PXAT", "KEEPTTL"}
FORBIDDEN = re.compile(r"tostring\(|\bcmsgpack\b|\bstruct\b|\bbit\b|^#!|'(?:KEYS|SCAN|RANDOMKEY|FLUSHALL|FLUSHDB)'", re.M)

CALL = re.compile(r"redis\.p?call\('(\w+)'(?:, ([^,)]+))?")
LOCALS = re.compile(r"^local ([\w, ]+) = (.*(?:KEYS|ARGV)\[.*)$", re.M)
ITEM = re.compile(r"(KEYS|ARGV)\[(\d+)\]")
LINE = re.compile(r"--   (\d+) +(\w+) +\S.*")
HEADER = re.compile(r"-- (?P<sentence>\S.*\.)\n(?:--\n)?-- KEYS\n(?P<KEYS>(?:--   .+\n)+)(?:-- ARGV\n(?P<ARGV>(?:--   .+\n)+))?-- Returns\n(?:--   .+\n)+(?!--)")
