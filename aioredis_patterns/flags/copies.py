"""Copies: the flags in the process, and what takes them away.

Whatever is read is remembered by the server for this client, and the first change to it is told on the connection that
read it. What was told of while it was being read is used once and not kept. When the connection is lost nobody is told
any more, and everything is dropped.
"""

from __future__ import annotations

import asyncio
import weakref
from functools import partial
from time import monotonic
from typing import Any, Final, final
from urllib.parse import unquote

from redis.exceptions import RedisError

from aioredis_patterns._core.keys import Keys
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.link import Link
from aioredis_patterns.client.packing import pack_command
from aioredis_patterns.errors import TransportError

from .snapshot import Person, Snapshot, snapshot_of

__all__ = ("Copies",)

_READ: Final = Script(__package__, "feature_flags_read", keys=2, repeatable=True)
_BITS: Final = Script(__package__, "feature_flags_bits", repeatable=True)

_LEAST: Final = 0.001
"""Seconds that a second try is given, which says that there was no time for it."""


@final
class Copies:
    """The copies of one application's flags that belong to one connection.

    Args:
        link: Whose connection tells of changes.
        keys: Where the flags lie.
        max_users: For how many users answers are kept.
        max_age: Seconds after which all is read anew.
        check: Seconds between two signs of life that the server is asked for.
        deadline: Seconds that one read may take.
    """

    def __init__(
        self, link: Link, keys: Keys, *, max_users: int, max_age: float, check: float, deadline: float | None
    ) -> None:
        self.home = link.home
        self._link, self._keys = link, keys
        self._max_users, self._max_age, self._check = max_users, max_age, check
        self._deadline = link.deadline if deadline is None else deadline
        self._whole = keys.key("flags"), keys.key("numbers")
        self._wholes = frozenset(key.encode() for key in self._whole)
        self._head = keys.key("bits:").encode()
        self.snapshot: Snapshot | None = None
        self.expires = 0.0
        self._renewed = monotonic()
        self._bits: dict[str, bytes] = {}
        self._loading: asyncio.Task[Snapshot] | None = None
        self._reading: dict[str, object] = {}
        self._checking = False
        told = partial(_tell, weakref.ref(self))
        link.tracking.listen(told)
        weakref.finalize(self, link.tracking.leave, told)

    async def person(self, user: str | None, part: str, groups: frozenset[str]) -> tuple[Snapshot, Person]:
        """Somebody, and what to ask about him; in one round trip, or none."""
        self._drop_what_is_old()
        if self.snapshot is None:
            snapshot, bits = await asyncio.gather(self._load(), self._bits_of(part))
        else:
            snapshot = self.snapshot
            bits = await self._bits_of(part) if snapshot.numbers else b""
        person = Person(user, bits, groups)
        if not groups and (not snapshot.numbers or self._bits.get(part) is bits):
            _make_room(snapshot.people, self._max_users)
            snapshot.people[user] = person
        return snapshot, person

    async def flags(self) -> Snapshot:
        """The flags alone."""
        self._drop_what_is_old()
        return self.snapshot or await self._load()

    def _drop_what_is_old(self) -> None:
        now = monotonic()
        if now >= self._renewed + self._max_age:
            self.forget()
            self._bits.clear()
            self._renewed = now
        elif now >= self.expires:
            self.snapshot = None

    async def _load(self) -> Snapshot:
        """Read the flags, in one read for all who wait for them."""
        if self._loading is None or self._loading.done():
            self._loading = self.home.loop.create_task(self._read())
            self._loading.add_done_callback(_fetch)
        return await asyncio.shield(self._loading)

    async def _read(self) -> Snapshot:
        sent = monotonic()
        try:
            snapshot = snapshot_of(await self._tracked(_READ, *self._whole))
        except BaseException:
            if self._loading is asyncio.current_task():
                self._loading = None
            raise
        if self._loading is asyncio.current_task():
            self._loading = None
            self.snapshot = snapshot
            self.expires = self._renewed + self._max_age
            if snapshot.left_us is not None:
                self.expires = min(self.expires, sent + snapshot.left_us / 1_000_000)
            self._look_after()
        return snapshot

    async def _bits_of(self, part: str) -> bytes:
        if not part:
            return b""
        known = self._bits.get(part)
        if known is not None:
            return known
        placeholder = self._reading[part] = object()
        try:
            bits: bytes = await self._tracked(_BITS, self._keys.key(f"bits:{part}"))
        finally:
            valid = self._reading.get(part) is placeholder
            if valid:
                del self._reading[part]
        if valid:
            _make_room(self._bits, self._max_users)
            self._bits[part] = bits
        return bits

    async def _tracked(self, script: Script, *keys: str) -> Any:
        """Call a script on the connection that is told of changes; on another where that one fails."""
        sent = monotonic()
        evalsha = pack_command(("EVALSHA", script.source.sha, len(keys), *keys))
        tracking = self._link.tracking
        try:
            return await tracking.read(evalsha, self._deadline, keys[0])
        except (RedisError, TransportError):
            self.forget_all()  # what is read elsewhere is not told of
            left = self._deadline - (monotonic() - sent)
            return await script(self._link, *keys, deadline=max(left, _LEAST))

    # What takes them away --------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """The flags have changed."""
        self.snapshot = None
        self._loading = None

    def forget_user(self, part: str) -> None:
        """What a user was granted has changed."""
        self._reading.pop(part, None)
        self._bits.pop(part, None)
        if self.snapshot is not None:
            self.snapshot.people.pop(unquote(part), None)

    def forget_all(self) -> None:
        """Anything may have changed."""
        self.forget()
        self._reading.clear()
        self._bits.clear()

    def told(self, names: list[bytes] | None) -> None:
        """The server tells which keys have changed; None when it may have been any."""
        if names is None:
            self.forget_all()
            return
        for name in names:
            if name.startswith(self._head):
                self.forget_user(name.removeprefix(self._head).decode())
            elif name in self._wholes:
                self.forget()

    def _look_after(self) -> None:
        if not self._checking:
            self._checking = True
            self.home.loop.call_later(self._check, partial(_look, weakref.ref(self)))

    def look(self) -> None:
        """Ask for a sign of life, as long as there is something that may be out of date."""
        self._checking = False
        if self.snapshot is not None:
            self._link.tracking.check(self._check)
            self._look_after()


def _make_room(copies: dict[Any, Any], most: int) -> None:
    if len(copies) >= most:
        del copies[next(iter(copies))]


def _fetch(task: asyncio.Task[Snapshot]) -> None:
    """Its error was told to whoever waited, if anybody still did."""
    if not task.cancelled():
        task.exception()


def _tell(reference: weakref.ref[Copies], names: list[bytes] | None) -> None:
    copies = reference()
    if copies is not None:
        copies.told(names)


def _look(reference: weakref.ref[Copies]) -> None:
    copies = reference()
    if copies is not None:
        copies.look()
