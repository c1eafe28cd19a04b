"""Where a command's key and its time to block are found among its arguments."""

from __future__ import annotations

from typing import Any

import pytest

from aioredis_patterns.client.link import tag_of
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


@pytest.mark.parametrize("word", ["block", "streams", "BLOCK"])
def test_a_group_consumer_or_stream_may_have_any_name(word: str) -> None:
    """What is named like an option of a stream read is not taken for one."""
    read = f"XREADGROUP GROUP {word} {word} COUNT 5 STREAMS {word} >".split()
    waiting = f"XREADGROUP GROUP {word} {word} BLOCK 3000 STREAMS {word} >".split()
    plain = f"XREAD STREAMS {word} 0".split()
    assert [blocking_key(args) for args in (read, waiting, plain)] == [word] * 3
    assert [blocking_time(args) for args in (read, waiting, plain)] == [0, 3, 0]


@pytest.mark.parametrize("key", ["plain", "é{tag}", "{é}:x"])
def test_a_key_takes_the_same_lane_however_it_is_spelled(key: str) -> None:
    """Text and the kinds of bytes that redis-py takes are one key, so its commands stay in order."""
    raw = key.encode()
    assert {tag_of(same) for same in (raw, bytearray(raw), memoryview(raw))} == {tag_of(key)}
