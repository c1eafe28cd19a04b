"""Document: a change at a path loses nothing of what others change, and nothing of what it does not name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from aioredis_patterns.client import connect
from aioredis_patterns.documents import Document
from aioredis_patterns.embedded import EmbeddedServer
from aioredis_patterns.errors import CodecError, OutcomeUnknownError
from tests.support.faults import Fault, FaultProxy

EXACT = {"big": 12345678901234567890, "empty": [], "none": None, "nested": {"": {"a.b": [1, {}]}}, "é": "\0\n"}


@pytest.fixture
def docs(redis: Redis, name: str) -> Document:
    return Document(redis, name)


async def test_a_document_comes_back_as_it_was(docs: Document) -> None:
    """Big numbers, empty lists and odd names survive storing and changes, and a deleted document is gone."""
    assert await docs.get("ada") is None
    await docs.set("ada", EXACT)
    assert await docs.get("ada") == EXACT
    assert await docs.update("ada", "$.new", 1)
    assert await docs.get("ada") == EXACT | {"new": 1}
    assert [await docs.delete("ada"), await docs.delete("ada"), await docs.get("ada")] == [True, False, None]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", 9),
        ("$.a", {"a": 9}),
        ("$.a.new", {"a": {"b.c": [1, [2]], "new": 9}}),
        ("$.a['b.c'][1][-1]", {"a": {"b.c": [1, [9]]}}),
        ("$['a']['b.c'][0]", {"a": {"b.c": [9, [2]]}}),
        ("$['']", {"a": {"b.c": [1, [2]]}, "": 9}),
    ],
)
async def test_a_path_names_one_place(docs: Document, path: str, expected: Any) -> None:
    """The value is put where the path says, and nothing else changes."""
    await docs.set("ada", {"a": {"b.c": [1, [2]]}})
    assert await docs.update("ada", path, 9)
    assert await docs.get("ada") == expected


@pytest.mark.parametrize("path", ["$.x.y", "$.a[0]", "$[0]", "$.list[2]", "$.list.a", "$.text[0]", "$.list[0].x"])
async def test_a_path_that_leads_nowhere_changes_nothing(docs: Document, path: str) -> None:
    """A place that is not there is an error, and the document stays as it was."""
    was = {"a": {}, "list": [1, 2], "text": "abc"}
    await docs.set("ada", was)
    with pytest.raises(LookupError):
        await docs.update("ada", path, 9)
    assert await docs.get("ada") == was


@pytest.mark.parametrize("path", ["", "a", "$a", "$..a", "$.a[*]", "$.", "$[", "$['a", "$[1.5]", None])
async def test_what_is_no_path_is_refused(docs: Document, path: Any) -> None:
    """What is no path is refused, also where there is no document."""
    with pytest.raises(ValueError, match="path"):
        await docs.update("ada", path, 1)


async def test_a_change_of_nothing_makes_nothing(docs: Document) -> None:
    """Where there is no document, no change makes one."""
    assert [await docs.update("ada", "$.a", 1), await docs.modify("ada", dict), await docs.get("ada")] == [
        False,
        None,
        None,
    ]


async def test_changes_at_one_time_all_last(docs: Document) -> None:
    """Of changes that are made at one time none is lost."""
    await docs.set("ada", {"count": 0})

    def count(document: Any) -> Any:
        document["count"] += 1
        return document

    calls = [docs.update("ada", f"$.k{number}", number) for number in range(20)]
    await asyncio.gather(*calls, *(docs.modify("ada", count) for _ in range(20)))
    assert await docs.get("ada") == {"count": 20} | {f"k{number}": number for number in range(20)}


async def test_one_of_many_compares_and_sets(docs: Document) -> None:
    """Of many who expect the same, one is right; None expects that there is nothing."""
    made = await asyncio.gather(*(docs.compare_and_set("ada", None, {"by": number}) for number in range(10)))
    assert made.count(True) == 1
    old = {"by": made.index(True)}
    assert await docs.get("ada") == old
    changed = await asyncio.gather(*(docs.compare_and_set("ada", old, {"then": number}) for number in range(10)))
    assert changed.count(True) == 1
    assert await docs.get("ada") == {"then": changed.index(True)}


async def test_changes_keep_the_life_of_a_document(redis: Redis, name: str) -> None:
    """A document lives from when it was stored; no change prolongs or ends that."""
    docs, key = Document(redis, name, ttl=60), f"arp:{{{name}|ada}}:document"
    assert await docs.compare_and_set("ada", None, {"a": 1})
    assert 59_000 < await redis.pttl(key) <= 60_000
    await redis.pexpire(key, 30_000)
    await docs.update("ada", "$.a", 2)
    await docs.compare_and_set("ada", {"a": 2}, {"a": 3})
    await Document(redis, name).set("ada", {"a": 4})
    assert 29_000 < await redis.pttl(key) <= 30_000
    await docs.set("ada", {})
    assert await redis.pttl(key) > 59_000


async def test_a_lost_reply_changes_once(server: EmbeddedServer, name: str) -> None:
    """A change whose reply is lost raises, and was made once."""
    async with FaultProxy(server.host, server.port) as proxy, connect(proxy.url) as redis:
        docs = Document(redis, name)
        await docs.set("ada", [])
        proxy.add(Fault("cut_after", lambda command: command[0] == b"EVALSHA" and b"[1]" in command))
        with pytest.raises(OutcomeUnknownError):
            await docs.modify("ada", lambda old: [*old, 1])
        assert await docs.get("ada") == [1]


async def test_nobody_has_no_document(pipelined: Redis, name: str) -> None:
    """None is no key: whoever has none would have the same document as all others who have none."""
    docs = Document(pipelined, name)
    nobody: Any = None
    for call in (
        lambda: docs.get(nobody),
        lambda: docs.set(nobody, 1),
        lambda: docs.update(nobody, "$", 1),
        lambda: docs.compare_and_set(nobody, None, 1),
        lambda: docs.delete(nobody),
    ):
        with pytest.raises(TypeError, match="key must be"):
            await call()


async def test_what_is_no_document_is_refused(redis: Redis, name: str, docs: Document) -> None:
    """None and what has no JSON are refused and change nothing; bytes that are no JSON are an error to the reader."""
    for wrong in (None, object(), {"a": object()}):
        with pytest.raises((CodecError, TypeError)):
            await docs.set("ada", wrong)
    with pytest.raises(CodecError):
        await docs.update("ada", "$.a", object())
    assert await docs.get("ada") is None
    await redis.set(f"arp:{{{name}|ada}}:document", "{")
    with pytest.raises(CodecError):
        await docs.get("ada")
    with pytest.raises(ValueError, match="ttl"):
        Document(redis, name, ttl=-1)
