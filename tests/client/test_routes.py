"""Where a command's key and its time to block are found among its arguments."""

from __future__ import annotations

from typing import Any

import pytest

from aioredis_patterns.client.routes import blocking_key, blocking_time, key_of


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("GET k", "k"),
        ("MSET k v other w", "k"),
        ("EVALSHA sha 1 k v", "k"),
        ("FCALL name 1 k", "k"),
        ("OBJECT ENCODING k", "k"),
        ("XGROUP CREATE k group 0", "k"),
        ("BITOP AND k source", "k"),
        ("LMPOP 2 k other LEFT", "k"),
        ("ZINTER 2 k other", "k"),
        ("SINTERCARD 1 k", "k"),
        ("ZUNIONSTORE k 2 one two", "k"),
        ("PING", ""),
    ],
)
def test_the_first_key_of_a_command_is_found(command: str, key: str) -> None:
    """The key that decides where a shared command goes is its first, wherever it stands."""
    assert key_of(command.split()) == key


@pytest.mark.parametrize(
    ("command", "key", "block"),
    [
        ("BLPOP k other 1.5", "k", 1.5),
        ("BLMOVE k other LEFT RIGHT 0", "k", None),
        ("BZMPOP 2 1 k MIN", "k", 2),
        ("XREAD COUNT 5 BLOCK 7000 STREAMS k $", "k", 7),
        ("XREADGROUP GROUP g c COUNT 5 BLOCK 0 NOACK STREAMS k >", "k", None),
        ("XREAD STREAMS k 0", "k", 0),
        ("WAIT 1 500", None, 0.5),
        ("GET k", None, 0),
    ],
)
@pytest.mark.parametrize("as_sent", [str, str.encode])
def test_what_a_command_may_block_on_is_found(command: str, key: Any, block: Any, as_sent: Any) -> None:
    """Key and time to block are read from the words as redis-py passes them, text or bytes."""
    name, *words = command.split()
    args = [name, *map(as_sent, words)]
    assert blocking_key(args) == (key and as_sent(key))
    assert blocking_time(args) == block
