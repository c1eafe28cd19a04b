"""Tokens: what a browser keeps, and the little of it that Redis sees.

A token is two characters of a shard and 43 of chance. The shard is drawn from the user by a keyed hash, so all that
concerns a user lies in one slot and is decided by one script, and a token tells nothing of whose it is. Redis gets a
hash of the token, from which it cannot be made again.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final, final

__all__ = ("Tokens",)

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_has_shape: Final = re.compile(r"[A-Za-z0-9_-]{45}").fullmatch
_BYTES: Final = 32


@final
class Tokens:
    """The tokens of one store.

    Args:
        name: The store's.
        pepper: A secret that is not in Redis; without it nobody can tell whether a token belongs to a hash.
    """

    __slots__ = ("_pepper", "_shard_key")

    def __init__(self, name: str, pepper: bytes) -> None:
        self._pepper = pepper
        self._shard_key = hashlib.blake2b(name.encode() + b"\0" + pepper, digest_size=32).digest()

    def shard(self, user: str | None) -> str:
        """The two characters with which all tokens of a user begin; any two for nobody."""
        data = secrets.token_bytes(8) if user is None else user.encode()
        digest = hashlib.blake2b(data, digest_size=2, key=self._shard_key).digest()
        return _ALPHABET[digest[0] & 63] + _ALPHABET[digest[1] & 63]

    @staticmethod
    def new(shard: str) -> str:
        """A token that nobody has had."""
        return shard + secrets.token_urlsafe(_BYTES)

    def digest(self, token: str) -> str:
        """What Redis sees of a token."""
        if self._pepper:
            return hmac.digest(self._pepper, token.encode(), "sha256").hex()
        return hashlib.sha256(token.encode()).hexdigest()

    @staticmethod
    def is_one(token: object) -> bool:
        """Whether it has the form of a token."""
        return isinstance(token, str) and _has_shape(token) is not None
