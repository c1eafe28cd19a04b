"""Sealing: what a session holds, encrypted before it leaves the process."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final, final

from aioredis_patterns.errors import CodecError

__all__ = ("Seal",)

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_MARK_BYTES: Final = 4


@final
class Seal:
    """AES-256-GCM with the session and the field as associated data, so that no value can be moved to another place.

    Args:
        keys: Of 32 bytes each. The first one encrypts, all decrypt: a new key is put in front, and the old ones go when
            the last session that they encrypted has ended.

    Raises:
        ImportError: `cryptography` is not installed (extra `crypto`).
        ValueError: A key has not 32 bytes.
    """

    __slots__ = ("_ciphers", "_first")

    def __init__(self, keys: Sequence[bytes]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - only who encrypts has it

        if {_size(key) for key in keys} != {_KEY_BYTES}:
            raise ValueError(f"encryption keys must be a sequence of keys of {_KEY_BYTES} bytes")
        self._ciphers = {_mark(key): AESGCM(key) for key in keys}
        self._first = _mark(keys[0])

    def seal(self, data: bytes, place: str) -> bytes:
        """The data, readable at this place only, by who has the key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._first + nonce + self._ciphers[self._first].encrypt(nonce, data, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for this place.

        Raises:
            CodecError: It was not, or not with one of the keys.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        mark, nonce = sealed[:_MARK_BYTES], sealed[_MARK_BYTES : _MARK_BYTES + _NONCE_BYTES]
        cipher = self._ciphers.get(mark)
        if cipher is None or len(nonce) < _NONCE_BYTES:
            raise CodecError("the value was not encrypted with a known key")
        try:
            return cipher.decrypt(nonce, sealed[_MARK_BYTES + _NONCE_BYTES :], place.encode())
        except InvalidTag:
            raise CodecError("the value was changed, or belongs elsewhere") from None


def _size(key: object) -> int:
    return len(key) if isinstance(key, bytes) else 0


def _mark(key: bytes) -> bytes:
    """By which the key of a value is found; it says nothing of the key."""
    return hashlib.blake2b(key, digest_size=_MARK_BYTES, person=b"session key").digest()
