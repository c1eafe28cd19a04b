"""SessionStore: sessions that end when they should, and lose nothing before."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, final

from aioredis_patterns._core.durations import deadline_seconds, delay_ms, lease_ms
from aioredis_patterns._core.keys import PREFIX, Keys, check_part
from aioredis_patterns._core.members import member_text
from aioredis_patterns._core.scripts import Script
from aioredis_patterns._core.stored import stored_texts
from aioredis_patterns.codecs import Json
from aioredis_patterns.errors import CodecError, SessionConflictError
from aioredis_patterns.events import PayloadUndecodable, SessionTokenReused, emit
from aioredis_patterns.types import AnyRedis, Codec, EventHook, KeyPart, Seconds

from .sealing import Seal
from .session import Session, SessionInfo, check_field
from .tokens import Tokens

__all__ = ("SessionStore",)

_SHARED: Final = ("fragment_time", "fragment_head")
_CREATE: Final = Script(__package__, "session_create", keys=3, fragments=_SHARED)
_LOAD: Final = Script(__package__, "session_load", keys=2, fragments=_SHARED, repeatable=True)
_SAVE: Final = Script(__package__, "session_save", keys=2, fragments=_SHARED, repeatable=True)
_ROTATE: Final = Script(__package__, "session_rotate", keys=4, fragments=_SHARED, repeatable=True)
_REVOKE: Final = Script(__package__, "session_revoke", fragments=("fragment_head",), repeatable=True)
_REVOKE_ALL: Final = Script(__package__, "session_revoke_all", keys=3, fragments=_SHARED, repeatable=True)
_LIST: Final = Script(__package__, "session_list", fragments=("fragment_time",), repeatable=True)

_MARK_MS: Final = 300_000
"""How long a session that was ended is remembered as such: longer than any request that may still save it."""
_MOST_FIELDS: Final = 1000
_MOST_OF_DEVICE: Final = 200  # as every load reads it
_GONE, _CONFLICT = 0, -1
_NONE: Final = "none"  # in the place of a digest
_VERSION, _ID = slice(16, 32), slice(96, 112)


@final
class SessionStore:
    """Sessions of a web service, or of anything else that people log in to.

    Promise: a session lives until it was idle for `idle`, until `lifetime` has passed since it began, or until it is
    revoked, and is never found afterwards, whatever was saved, loaded or rotated at the same time. What two requests
    change at one time survives both, field by field. Redis holds a hash of the token, from which nobody can make it; a
    token that the store did not give is refused without asking Redis, or found to be none, and never adopted.

    Limit of the promise: who has the token is the visitor. A primary that fails over without its last writes may
    forget a logout, until `idle` has passed. Where Redis evicts the epochs of a shard, its users are logged out. A
    change of one field by two requests at a time leaves the later one, unless the store is `versioned`.

    Cost: one round trip for everything, one more to end or list sessions and to make room for one. `load` writes when
    a tenth of `idle` has passed. A hash for each session; for all users of one of 4,096 shards a hash of epochs, and an
    index for each user.

    Args:
        redis: Any asyncio client of redis-py.
        name: What the sessions are called.
        idle: Seconds until a session ends that nobody uses.
        lifetime: Seconds until it ends at the latest.
        grace: Seconds that the old token of a rotated session is still good, for requests that are on their way. Used
            after that, it was copied by somebody, and an event says so.
        on_reuse: `revoke` to end the session that was made of such a token, `report` to leave it.
        max_sessions: How many a user may have; one more ends the oldest. Any number when None.
        versioned: Refuse to save what another changed since it was loaded, instead of merging field by field.
        pepper: A secret that is mixed into the hashes of tokens; no session is found any more when it changes.
        encryption_keys: Of 32 bytes each; the first one encrypts what sessions hold (extra `crypto`).
        codec: How the values of fields become bytes; any built-in type when None.
        on_event: Told of payloads that do not decode and of tokens used by two.
        deadline: Seconds that one call to Redis may take; the client's own when None.
        prefix: First part of the keys.

    Raises:
        ValueError: An argument makes no sense.

    The rules are those of OWASP's Session Management Cheat Sheet; rotation with a grace and the detection of reuse are
    those of refresh tokens (RFC 9700, section 4.14.2).

    Example:
        >>> store = SessionStore(redis, idle=1800, lifetime=86400)
        >>> session = await store.create("user:42", {"cart": []})
        >>> session = await store.load(session.token)
        >>> session["cart"], session.user_id
        ([], 'user:42')
        >>> session["cart"].append("tea")
        >>> await store.save(session)
        True
        >>> session = await store.rotate(session)
        >>> await store.revoke(session.token), await store.load(session.token)
        (True, None)
    """

    __slots__ = (
        "_codec",
        "_deadline",
        "_grace_ms",
        "_idle_ms",
        "_keys",
        "_lifetime_ms",
        "_max_sessions",
        "_on_event",
        "_on_reuse",
        "_redis",
        "_seal",
        "_shards",
        "_tokens",
        "_versioned",
        "name",
    )

    def __init__(  # noqa: PLR0913  # what sessions are, is said in one place
        self,
        redis: AnyRedis,
        name: str = "sessions",
        *,
        idle: Seconds = 1800,
        lifetime: Seconds = 86_400,
        grace: Seconds = 10,
        on_reuse: Literal["report", "revoke"] = "report",
        max_sessions: int | None = None,
        versioned: bool = False,
        pepper: bytes = b"",
        encryption_keys: Sequence[bytes] | None = None,
        codec: Codec[Any] | None = None,
        on_event: EventHook | None = None,
        deadline: Seconds | None = None,
        prefix: str = PREFIX,
    ) -> None:
        self.name = name
        self._redis, self._keys, self._tokens = redis, Keys(name, prefix), Tokens(name, pepper)
        self._shards: dict[str, tuple[str, str]] = {}  # the keys of each, 4,096 at most, as every load needs them
        self._idle_ms, self._lifetime_ms = lease_ms(idle, "idle"), lease_ms(lifetime, "lifetime")
        self._grace_ms = delay_ms(grace, "grace")
        self._on_reuse = _one_of(on_reuse, "report", "revoke")
        self._max_sessions = 0 if max_sessions is None else _positive(max_sessions)
        self._versioned = versioned
        self._seal = None if encryption_keys is None else Seal(encryption_keys)
        self._codec = Json() if codec is None else codec
        self._on_event = on_event
        self._deadline = None if deadline is None else deadline_seconds(deadline)

    def __repr__(self) -> str:
        return f"<SessionStore {self.name!r}>"

    async def create(
        self, user_id: KeyPart | None, data: Mapping[str, Any] | None = None, *, device: str = ""
    ) -> Session:
        """Begin a session.

        Args:
            user_id: Whose it is, after he has shown who he is; None for an anonymous one.
            data: What it holds.
            device: What it runs on, for `list`; 200 characters of it are kept.

        Raises:
            CodecError: A value cannot be encoded.
            OutcomeUnknownError: The reply was lost; there may be a session, whose token nobody has.
        """
        user = None if user_id is None else member_text(user_id, "user")
        shard, public_id = self._tokens.shard(user), secrets.token_hex(8)
        token = self._tokens.new(shard)
        digest, stored = self._tokens.digest(token), self._encoded(_named(data or {}))
        fields = self._fields(stored, public_id)
        keys = (*self._places(token, digest), self._index(shard, user))
        facts = (digest, user or "", secrets.token_hex(8), public_id, device[:_MOST_OF_DEVICE])
        args = (*facts, self._idle_ms, self._lifetime_ms, self._max_sessions, len(fields) // 2, *fields)
        head = await self._created(shard, keys, args)
        return Session(token, digest, head, self._decoded(stored), stored)

    async def login(self, session: Session | None, user_id: KeyPart, *, device: str = "") -> Session:
        """Begin a session of a user with what his anonymous one held, and end that.

        The token changes, so that one that somebody planted in a browser is worth nothing after the login.

        Args:
            session: The one that he has had until now.
            user_id: Who he is.
            device: What it runs on, for `list`.

        Raises:
            OutcomeUnknownError: The reply was lost; there may be a session, whose token nobody has.
        """
        new = await self.create(user_id, session, device=device)
        if session is not None:
            await self.revoke(session)
        return new

    async def load(self, token: str) -> Session | None:
        """The session of a token, which lives on by this; None when there is none, or what it holds cannot be read."""
        if not self._tokens.is_one(token):
            return None
        digest = self._tokens.digest(token)
        flat = await _LOAD(self._redis, *self._places(token, digest), self._idle_ms, deadline=self._deadline)
        if flat and flat[0] == b"moved":
            flat = await self._followed(token[:2], flat[1].decode(), flat[2])
        return self._session(token, digest, flat) if flat else None

    async def save(self, session: Session) -> bool:
        """Store what was changed in a session; False when it has ended meanwhile, and nothing was stored.

        A session in which nothing was changed is not sent.

        Raises:
            CodecError: A value cannot be encoded; nothing was stored.
            SessionConflictError: The store is `versioned`, and another changed the session since it was loaded.
        """
        encoded, before = self._encoded(session._data), session._stored  # noqa: SLF001  # its own handle
        if encoded == before:
            return True
        changed = {name: data for name, data in encoded.items() if before.get(name) != data}
        removed = [f":{name}" for name in before if name not in encoded]
        version, head = secrets.token_hex(8), session._head  # noqa: SLF001
        expected = head[_VERSION] if self._versioned else b""
        args = (expected, version, len(removed), *removed, *self._fields(changed, head[_ID].decode()))
        keys = self._places(session.token, session._digest)  # noqa: SLF001
        state, *moved = await _SAVE(self._redis, *keys, *args, deadline=self._deadline)
        if moved and moved[0]:
            state = await self._saved_as(session.token[:2], moved[0].decode(), *args)
        if state == _CONFLICT:
            raise SessionConflictError(self.name, "changed")
        if state == _GONE:
            return False
        session._stored = encoded  # noqa: SLF001
        session._head = head[:16] + version.encode() + head[32:]  # noqa: SLF001
        return True

    async def rotate(self, session: Session, *, verified: bool = False) -> Session:
        """Give a session a new token; what it holds in Redis stays, and so does its end.

        Do it whenever what the session may do changes. The old token is good for `grace`, and does not prolong the
        session.

        Args:
            session: Which one. Changes that were not saved are not taken along.
            verified: Whether the user has just shown who he is, which `authenticated_at` tells.

        Raises:
            SessionConflictError: It has ended, or another has rotated it.
        """
        token = self._tokens.new(session.token[:2])
        shard, digest, left = token[:2], self._tokens.digest(token), session._digest  # noqa: SLF001
        keys = (self._session_key(shard, left), *self._places(token, digest), self._index(shard, session.user_id))
        flat = await self._call(_ROTATE, *keys, left, digest, self._idle_ms, self._grace_ms, int(verified))
        new = self._session(token, digest, flat) if flat else None
        if new is None:
            raise SessionConflictError(self.name, "rotated or ended")
        return new

    async def revoke(self, token: str | Session) -> bool:
        """End a session; False when there was none."""
        if isinstance(token, Session):
            return await self._end(token.token[:2], token._digest)  # noqa: SLF001
        return self._tokens.is_one(token) and await self._end(token[:2], self._tokens.digest(token))

    async def revoke_all(self, user_id: KeyPart, *, keep: str | Session | None = None) -> int:
        """End all sessions of a user; how many there were, or 0 when a first reply was lost.

        Args:
            user_id: Whose.
            keep: The one that stays, or its token: "log me out everywhere else".
        """
        user = member_text(user_id, "user")
        shard = self._tokens.shard(user)
        ended = await self._all_ended(shard, user, keep.token if isinstance(keep, Session) else keep)
        # They have ended with the epoch; this only frees their memory, and may fail.
        dead = [self._session_key(shard, digest) for digest in ended]
        forgotten = (self._call(_REVOKE, key, _MARK_MS, secrets.token_hex(8)) for key in dead)
        await asyncio.gather(*forgotten, return_exceptions=True)
        return len(ended)

    async def list(self, user_id: KeyPart) -> tuple[SessionInfo, ...]:
        """The sessions of a user, the first to end in front."""
        user = member_text(user_id, "user")
        return tuple((await self._listed(self._tokens.shard(user), user)).values())

    async def revoke_listed(self, user_id: KeyPart, public_id: str) -> bool:
        """End the one of a user's sessions that `list` calls so; False when he has none of that name."""
        user = member_text(user_id, "user")
        shard = self._tokens.shard(user)
        for digest, info in (await self._listed(shard, user)).items():
            if info.public_id == public_id:
                return await self._end(shard, digest)
        return False

    async def _created(self, shard: str, keys: tuple[str, ...], args: tuple[Any, ...]) -> bytes:
        """Make it, and when the user has too many, do so with the keys of those that he has; its head."""
        others: list[str] = []
        while True:
            candidates = [self._session_key(shard, digest) for digest in others]
            state, *told = await self._call(_CREATE.taking(3 + len(others)), *keys, *candidates, *args, *others)
            if state == b"made":
                head: bytes = told[0]
                return head
            others = stored_texts(told, "a session")

    async def _followed(self, shard: str, digest: str, in_grace: int) -> Any:
        """What a session holds whose token was replaced; nothing after the grace."""
        while in_grace:
            flat = await self._call(_LOAD, *self._places(shard, digest), 0)
            if not flat or flat[0] != b"moved":
                return flat
            digest, in_grace = flat[1].decode(), flat[2]
        await self._reused(shard, digest)
        return None

    async def _saved_as(self, shard: str, digest: str, *args: str | bytes | int) -> Any:
        """Save it where it is now: what was rotated since it was loaded is found by its successor."""
        while True:
            state, *moved = await self._call(_SAVE, *self._places(shard, digest), *args)
            if not moved or not moved[0]:
                return state
            digest = moved[0].decode()

    async def _reused(self, shard: str, successor: str) -> None:
        """Somebody used a token that had been replaced."""
        revoked = self._on_reuse == "revoke" and await self._end(shard, successor)
        if self._on_event is not None:
            emit(self._on_event, SessionTokenReused(name=self.name, outcome="revoked" if revoked else "reported"))

    async def _all_ended(self, shard: str, user: str, keep: str | None) -> Sequence[str]:
        """End all sessions of a user but one, wherever that is now; the digests of those that ended."""
        kept, fresh = _NONE, secrets.token_hex(8)
        if keep is not None and self._tokens.is_one(keep) and keep[:2] == shard:
            kept = self._tokens.digest(keep)
        while True:
            keys = (self._keys.key("epochs", shard), self._index(shard, user), self._session_key(shard, kept))
            ended = stored_texts(await self._call(_REVOKE_ALL, *keys, user, fresh, kept), "a session")
            if ended[:1] != ["moved"]:
                return ended
            kept = ended[1]

    async def _end(self, shard: str, digest: str) -> bool:
        """End a session, or what was made of it."""
        while reply := await self._call(_REVOKE, self._session_key(shard, digest), _MARK_MS, secrets.token_hex(8)):
            said = reply[1].decode(errors="replace")
            if reply[0] == b"ended":
                if said:
                    await self._call(_LIST, self._index(shard, said), digest)
                return True
            digest = said
        return False

    async def _listed(self, shard: str, user: str) -> dict[str, SessionInfo]:
        """A user's sessions by their digests."""
        index = self._index(shard, user)
        digests = stored_texts(await self._call(_LIST, index), "a session")
        heads = dict(await asyncio.gather(*(self._head(shard, digest) for digest in digests)))
        gone = [digest for digest, head in heads.items() if head is None]
        if gone:
            await self._call(_LIST, index, *gone)
        infos = {digest: self._info(head) for digest, head in heads.items() if head is not None}
        return {digest: info for digest, info in infos.items() if info is not None}

    async def _head(self, shard: str, digest: str) -> tuple[str, bytes | None]:
        """Where a session is now, which may be rotated meanwhile, and its head; None when it has ended."""
        while flat := await self._call(_LOAD, *self._places(shard, digest), 0):
            if flat[0] != b"moved":
                return digest, _paired(flat).get(b"head")
            digest = flat[1].decode()
        return digest, None

    def _info(self, head: bytes) -> SessionInfo | None:
        try:
            return SessionInfo.of(head)
        except ValueError:
            self._tell_unreadable()
            return None

    def _session(self, token: str, digest: str, flat: Sequence[bytes]) -> Session | None:
        """The session that a hash holds; None and an event when it does not make sense."""
        head, data, stored, decode = b"", {}, {}, self._codec.decode
        try:
            if self._seal is not None:
                flat = self._opened(self._seal, flat)
            pairs = iter(flat)
            for field in pairs:
                text = next(pairs)
                if field == b"head":
                    head = text
                else:
                    name = field[1:].decode()
                    stored[name] = text
                    data[name] = decode(text)
            return Session(token, digest, head, data, stored)
        except (CodecError, ValueError):
            self._tell_unreadable()
            return None

    def _tell_unreadable(self) -> None:
        if self._on_event is not None:
            emit(self._on_event, PayloadUndecodable(pattern="SessionStore", name=self.name))

    def _encoded(self, data: Mapping[str, Any]) -> dict[str, bytes]:
        if len(data) > _MOST_FIELDS:
            raise ValueError(f"a session must hold at most {_MOST_FIELDS} fields, not {len(data)}")
        encode = self._codec.encode
        return {name: encode(value) for name, value in data.items()}

    def _decoded(self, stored: dict[str, bytes]) -> dict[str, Any]:
        decode = self._codec.decode
        return {name: decode(data) for name, data in stored.items()}

    def _fields(self, stored: dict[str, bytes], public_id: str) -> Sequence[str | bytes]:
        """The fields as Redis has them, each with its value behind it."""
        seal = self._seal
        if seal is not None:
            stored = {name: seal.seal(data, f"{public_id}:{name}") for name, data in stored.items()}
        return [part for name, data in stored.items() for part in (f":{name}", data)]

    def _opened(self, seal: Seal, flat: Sequence[bytes]) -> Sequence[bytes]:
        """The fields as they were before they were sealed."""
        fields = _paired(flat)
        public_id, opened = fields.get(b"head", b"")[_ID].decode(), []
        for name, data in fields.items():
            plain = data if name == b"head" else seal.open(data, f"{public_id}:{name[1:].decode()}")
            opened += [name, plain]
        return opened

    def _places(self, token: str, digest: str) -> tuple[str, str]:
        """The keys of a session and of the epochs that go with it, by the shard with which its token begins."""
        found = self._shards.get(token[:2])
        if found is None:
            shard = token[:2]
            found = self._shards[shard] = (self._keys.key("session:", shard), self._keys.key("epochs", shard))
        return found[0] + digest, found[1]

    def _session_key(self, shard: str, digest: str) -> str:
        return self._places(shard, digest)[0]

    def _index(self, shard: str, user: str | None) -> str:
        return self._keys.key(f"user:{check_part(user)}" if user else "user", shard)

    async def _call(self, script: Script, *keys_and_args: str | bytes | int) -> Any:
        return await script(self._redis, *keys_and_args, deadline=self._deadline)


def _named(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {check_field(name): data[name] for name in data}


def _paired(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    pairs = iter(flat)
    return dict(zip(pairs, pairs, strict=True))


def _one_of(value: Any, *allowed: str) -> str:
    if value not in allowed:
        raise ValueError(f"on_reuse must be one of {', '.join(allowed)}, not {value!r:.80}")
    return str(value)


def _positive(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_sessions must be an int, not {value!r:.80}")
    if value < 1:
        raise ValueError(f"max_sessions must be at least 1, not {value}")
    return value
