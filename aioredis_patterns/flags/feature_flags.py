"""FeatureFlags: what is switched on for whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from time import monotonic
from typing import Any, Final, final

from aioredis_patterns._core.durations import deadline_seconds, lease_ms
from aioredis_patterns._core.keys import PREFIX, Keys, check_name, check_part
from aioredis_patterns._core.scripts import Script
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.types import AnyRedis, KeyPart, Seconds

from .audit import USERS_CODEC, FlagChange, change_of
from .copies import Copies
from .flag import FLAG_CODEC, Flag, is_whole
from .snapshot import Person, Snapshot

__all__ = ("FeatureFlags", "Unset")

_LOOK: Final = Script(__package__, "feature_flags_look", repeatable=True)
_WRITE: Final = Script(__package__, "feature_flags_write", keys=3)
_GRANT: Final = Script(__package__, "feature_flags_grant", keys=3)
_AUDIT: Final = Script(__package__, "feature_flags_audit", repeatable=True)

_KEPT_CHANGES: Final = 10_000
_MOST_USERS: Final = 1000


class Unset(Enum):
    """What is not named in a call of `set`, and stays as it is."""

    UNSET = auto()


_UNSET: Final = Unset.UNSET


@final
class FeatureFlags:
    """The flags of an application, decided in the process from copies that the server keeps up to date.

    Promise: who is in at 10 % is in at 20 %, in every process; flags divide the users independently. A change is seen
    in every process as soon as the server's word of it has come through the network, in the own one when the call
    returns. All flags are those of one moment.

    Limit of the promise: where a connection dies without a sign, copies may be out of date for twice `check`. Without
    a server and without copies `enabled` raises what redis-py raises. All of an application lies in one slot of a
    cluster. Flags, and what users were granted, have no expiry.

    Cost: none while the copies hold; one round trip for the first question about a user that was granted anything,
    or when flags were changed. Keys: two, one for the audit log, and one for each user with a grant: a bit for each
    flag.

    Args:
        redis: Any asyncio client of redis-py.
        name: The application.
        max_users: For how many users answers are kept in the process.
        max_age: Seconds after which copies are read anew, whatever the server said.
        check: Seconds between two signs of life that the server is asked for.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        prefix: First part of every key.

    Raises:
        ValueError, TypeError: An argument makes no sense.

    Example:
        >>> flags = FeatureFlags(redis, "shop")
        >>> await flags.set("new-ui", percentage=10, allow=["user:1"]) and None
        >>> await flags.enabled("new-ui", "user:1"), await flags.all("user:3")
        (True, {'new-ui': False})
    """

    __slots__ = ("_copies", "_deadline", "_keys", "_max_users", "_redis", "_seconds", "name")

    def __init__(
        self,
        redis: AnyRedis,
        name: str,
        *,
        max_users: int = 10_000,
        max_age: Seconds = 60.0,
        check: Seconds = 1.0,
        deadline: Seconds | None = None,
        prefix: str = PREFIX,
    ) -> None:
        if not is_whole(max_users, 1):
            raise ValueError(f"max_users must be an int of 1 or more, not {max_users!r}")
        self.name = name
        self._redis, self._keys = redis, Keys(name, prefix)
        self._max_users = max_users
        self._seconds = lease_ms(max_age, "max_age") / 1000, lease_ms(check, "check") / 1000
        self._deadline = None if deadline is None else deadline_seconds(deadline)
        self._copies: Copies | None = None

    def __repr__(self) -> str:
        return f"<FeatureFlags {self.name!r}>"

    # Asking ----------------------------------------------------------------------------------------------------------

    async def enabled(
        self, flag: str, user: KeyPart | None = None, *, groups: Collection[str] = (), default: bool = False
    ) -> bool:
        """Whether a flag is on for a user.

        The first of these decides: the flag is killed, or it is not its time: off. A flag that it requires is off for
        the user: off. The user is denied: off. He is allowed, in one of its groups, or was granted it: on. Else the
        percentage.

        Args:
            flag: Its name.
            user: Who; with None it is on only for all, at 100 %.
            groups: Those that the user is in; the answer is worked out anew each time when there are any.
            default: What to answer for a flag that is not there.

        Raises:
            redis.exceptions.RedisError: There is no copy, and the server did not answer.
        """
        found = None if groups else self._known(user)
        snapshot, person = found or await self._ask(user, groups)
        answer = person.answers.get(flag)
        if answer is None:
            if flag not in snapshot.flags:
                check_name(flag, "flag")
                return default
            answer = snapshot.decide(flag, person)
        return answer

    async def all(self, user: KeyPart | None = None, *, groups: Collection[str] = ()) -> dict[str, bool]:
        """What every flag says of a user, at one moment."""
        found = None if groups else self._known(user)
        snapshot, person = found or await self._ask(user, groups)
        return person.all(snapshot)

    async def variant(self, flag: str, user: KeyPart, *, groups: Collection[str] = ()) -> str | None:
        """The variant that a user gets; None where the flag is off for him, or has no variants."""
        found = None if groups else self._known(user)
        snapshot, person = found or await self._ask(user, groups)
        if flag not in snapshot.open or not snapshot.decide(flag, person):
            check_name(flag, "flag")
            return None
        return snapshot.open[flag].variant_of(_plain(user))

    def _known(self, user: KeyPart | None) -> tuple[Snapshot, Person] | None:
        """The user, if all about him is in the process; this is the way of nearly every call."""
        copies = self._copies
        if copies is None or copies.snapshot is None or copies.expires <= monotonic() or not copies.home.here():
            return None
        person = copies.snapshot.people.get(user)  # type: ignore[arg-type]  # there is none by the name of an int
        return None if person is None else (copies.snapshot, person)

    async def _ask(self, user: KeyPart | None, groups: Collection[str]) -> tuple[Snapshot, Person]:
        part = "" if user is None else check_part(user, "user")
        text = None if user is None else _plain(user)
        return await self._here().person(text, part, _texts(groups, "groups"))

    def _here(self) -> Copies:
        if self._copies is None or not self._copies.home.here():
            self._copies = Copies(
                link_of(self._redis),
                self._keys,
                max_users=self._max_users,
                max_age=self._seconds[0],
                check=self._seconds[1],
                deadline=self._deadline,
            )
        return self._copies

    # Setting ---------------------------------------------------------------------------------------------------------

    async def get(self, flag: str) -> Flag | None:
        """How a flag is set, asked of the server; None for one that is not there."""
        data = await self._look(flag)
        return FLAG_CODEC.decode(data) if data else None

    async def set(  # noqa: PLR0913  # what a flag is, is said in one place
        self,
        flag: str,
        *,
        killed: bool | Unset = _UNSET,
        percentage: float | Unset = _UNSET,
        allow: Iterable[KeyPart] | Unset = _UNSET,
        deny: Iterable[KeyPart] | Unset = _UNSET,
        groups: Iterable[str] | Unset = _UNSET,
        requires: Iterable[str] | Unset = _UNSET,
        variants: Mapping[str, int] | Unset = _UNSET,
        starts: datetime | Unset | None = _UNSET,
        ends: datetime | Unset | None = _UNSET,
        salt: str | Unset | None = _UNSET,
        by: str | None = None,
    ) -> Flag:
        """Change what is named of a flag, and leave the rest; one that is not there begins as off for all.

        Those who change different fields at one time do not undo each other's work.

        Args:
            flag: Its name.
            killed: Off for all, whatever else is said, until this is False again.
            percentage: The part of all users for which it is on, 0 to 100, to a thousandth.
            allow: Users for whom it is on; for many of them take `grant`.
            deny: Users for whom it is off.
            groups: Groups for whose members it is on; who is in them says the caller of `enabled`.
            requires: Flags that must be on for a user too.
            variants: The weight of each.
            starts: When it begins to be on, by the server's clock.
            ends: From when it is off.
            salt: Flags of one salt and one percentage are on for the same users; the flag's name when None.
            by: Who changes it, for the audit log.

        Returns:
            How it is set now.

        Raises:
            ValueError, TypeError: A value makes no sense; nothing was changed.
            OutcomeUnknownError: The reply was lost; it may have been changed.
        """
        fields = {
            "killed": killed,
            "percentage": percentage,
            "allow": allow if allow is _UNSET else _texts(allow, "allow"),
            "deny": deny if deny is _UNSET else _texts(deny, "deny"),
            "groups": groups if groups is _UNSET else _texts(groups, "groups"),
            "requires": requires if requires is _UNSET else _texts(requires, "requires"),
            "variants": variants if variants is _UNSET else dict(variants),
            "starts": starts,
            "ends": ends,
            "salt": salt,
        }
        changes = {name: value for name, value in fields.items() if value is not _UNSET}
        return await self._change(flag, changes, by)

    async def _change(self, flag: str, changes: dict[str, Any], by: str | None) -> Flag:
        while True:
            before = await self._look(flag)
            old = FLAG_CODEC.decode(before) if before else Flag(name=flag)
            new = replace(old, **changes, revision=old.revision + 1)
            if await self._write(flag, before, FLAG_CODEC.encode(new), "set", by):
                return new

    async def delete(self, flag: str, *, by: str | None = None) -> bool:
        """Take a flag away, with all that was granted of it; False when it was not there.

        Raises:
            OutcomeUnknownError: The reply was lost; it may be gone.
        """
        while before := await self._look(flag):
            if await self._write(flag, before, b"", "delete", by):
                return True
        return False

    async def grant(self, flag: str, *users: KeyPart, by: str | None = None) -> int:
        """Switch a flag on for 1 to 1,000 users, at a bit each; for how many of them it was not granted before.

        Raises:
            LookupError: There is no such flag.
            OutcomeUnknownError: The reply was lost; it may have been granted.
        """
        return await self._mark(flag, users, "grant", by)

    async def revoke(self, flag: str, *users: KeyPart, by: str | None = None) -> int:
        """Take back what was granted to 1 to 1,000 users; to how many of them it was granted.

        Raises:
            LookupError: There is no such flag.
            OutcomeUnknownError: The reply was lost; it may have been revoked.
        """
        return await self._mark(flag, users, "revoke", by)

    async def audit(self, count: int = 100) -> list[FlagChange]:
        """The last changes, the very last first; about 10,000 are kept.

        Args:
            count: How many at most, 1 to 10,000.
        """
        if not is_whole(count, 1) or count > _KEPT_CHANGES:
            raise ValueError(f"count must be from 1 to {_KEPT_CHANGES}, not {count!r}")
        entries = await _AUDIT(self._redis, self._keys.key("audit"), count, deadline=self._deadline)
        return [change_of(entry) for entry in entries]

    async def _look(self, flag: str) -> bytes:
        check_name(flag, "flag")
        data: bytes = await _LOOK(self._redis, self._keys.key("flags"), flag, deadline=self._deadline)
        return data

    async def _write(self, flag: str, before: bytes, after: bytes, action: str, by: str | None) -> bool:
        keys, keep = self._all_keys(), _KEPT_CHANGES
        try:
            done = await _WRITE(
                self._redis, *keys, flag, before, after, action, _author(by), keep, deadline=self._deadline
            )
        finally:
            if self._copies is not None:
                self._copies.forget()
        return bool(done)

    async def _mark(self, flag: str, users: tuple[KeyPart, ...], action: str, by: str | None) -> int:
        check_name(flag, "flag")
        if not 1 <= len(users) <= _MOST_USERS:
            raise ValueError(f"there must be 1 to {_MOST_USERS} users, not {len(users)}")
        parts = [check_part(user, "user") for user in users]
        keys = (*self._all_keys(), *(self._keys.key(f"bits:{part}") for part in parts))
        said = USERS_CODEC.encode(tuple(map(_plain, users)))
        args = flag, int(action == "grant"), action, _author(by), _KEPT_CHANGES, said
        try:
            done: int = await _GRANT.taking(len(keys))(self._redis, *keys, *args, deadline=self._deadline)
        finally:
            if self._copies is not None:
                self._copies.forget_all()
        if done < 0:
            raise LookupError(f"there is no flag {flag!r}")
        return done

    def _all_keys(self) -> tuple[str, str, str]:
        return self._keys.key("flags"), self._keys.key("numbers"), self._keys.key("audit")


def _author(by: str | None) -> str:
    if by is not None:
        check_name(by, "by")
    return by or ""


def _texts(values: Iterable[Any], what: str) -> frozenset[str]:
    if isinstance(values, str):
        raise TypeError(f"{what} must be several, not the one str {values!r:.80}")
    found = tuple(values)
    for value in found:
        check_part(value, what)
    return frozenset(map(_plain, found))


def _plain(value: KeyPart) -> str:
    """The text, or the digits of the number; its class may print it as something else."""
    return str.__str__(value) if isinstance(value, str) else str(value)
