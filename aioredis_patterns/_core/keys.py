"""Keys: how a name becomes `prefix:{name|subject}:part`, and why no name can reach another's key.

The braces are the hash tag: all keys of one name and subject live in one slot, so one script may touch them all.
What a user supplies is escaped like a URL: `{`, `}`, `|`, `%` and control characters become `%XX`, so two different
names never build the same key, none changes the slot, and none breaks a line of a log. Glob characters mean nothing
in a key and stay; `escape_glob` is for the MATCH of a scan.

An int stands for its digits: the subjects `42` and `"42"` are one subject.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from typing import final

from aioredis_patterns.types import KeyPart

__all__ = ("Keys", "PREFIX", "check_name", "check_part", "escape_glob", "hash_tag", "slot")

PREFIX = "arp"
"""The first part of every key, unless the caller chose another."""

_MAX_LENGTH = 512
_SLOTS = 16_384

_unsafe = re.compile("[\0-\x1f%{|}\x7f-\x9f\ud800-\udfff]")
_find_unsafe = _unsafe.search
_glob = re.compile(r"[*?\[\]\\]")


@final
class Keys:
    """The keys of one definition, with everything that does not change built once.

    A definition makes one in its constructor and asks it for a key per call, in about 0.3 us.

    Args:
        name: What the user calls the thing; 1 to 512 characters once escaped.
        prefix: First part of every key.

    Raises:
        TypeError: A name that is not a str.
        ValueError: A name that is empty, too long or not Unicode.

    Example:
        >>> keys = Keys("api")
        >>> keys.key("bucket"), keys.key("bucket", "user:42")
        ('arp:{api}:bucket', 'arp:{api|user:42}:bucket')
    """

    __slots__ = ("_head", "name")

    def __init__(self, name: str, prefix: str = PREFIX) -> None:
        self.name = name
        self._head = f"{check_name(prefix, 'prefix')}:{{{check_name(name)}"

    def key(self, part: str, subject: KeyPart | None = None) -> str:
        """The key of one part; `part` is the pattern's own word, or ends with one that `check_part` escaped."""
        if subject is None:
            return f"{self._head}}}:{part}"
        if type(subject) is str and 0 < len(subject) <= _MAX_LENGTH and _find_unsafe(subject) is None:
            return f"{self._head}|{subject}}}:{part}"
        return f"{self._head}|{check_part(subject)}}}:{part}"

    def __repr__(self) -> str:
        return f"<Keys {self._head}}}:*>"


def check_name(value: str, what: str = "name") -> str:
    """The name, checked and escaped.

    Raises:
        TypeError: Not a str; bytes are not decoded by guesswork.
        ValueError: Empty, longer than 512 characters once escaped, or holding a lone surrogate.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {value!r:.80}")
    return _checked(value, what)


def check_part(value: KeyPart, what: str = "subject") -> str:
    """A subject, member or cache key, checked and escaped like a name; an int stands for its digits."""
    if isinstance(value, str):
        return _checked(value, what)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a str or an int, not {value!r:.80}")
    return _checked(int.__repr__(value), what)


def hash_tag(name: str, subject: KeyPart | None = None) -> str:
    """The part of a key between its braces.

    >>> hash_tag("resource:42"), hash_tag("api", "{user}")
    ('resource:42', 'api|%7Buser%7D')
    """
    return check_name(name) if subject is None else f"{check_name(name)}|{check_part(subject)}"


def escape_glob(text: str) -> str:
    r"""The text with the characters that mean something to MATCH escaped.

    >>> print(escape_glob("a*b[1]"))
    a\*b\[1\]
    """
    return _glob.sub(r"\\\g<0>", text)


def slot(key: str | bytes) -> int:
    """The cluster slot of a key, 0 to 16383, decided by its hash tag."""
    data = key.encode() if isinstance(key, str) else key
    start = data.find(b"{") + 1
    end = data.find(b"}", start)
    tag = data[start:end] if 0 < start < end else data
    return crc_hqx(tag, 0) % _SLOTS


def _checked(value: str, what: str) -> str:
    # A str subclass (an enum, say) may print as something else than the text that it holds.
    text = str.__str__(value)
    escaped = text if _find_unsafe(text) is None else _escaped(text, what)
    if 0 < len(escaped) <= _MAX_LENGTH:
        return escaped
    raise ValueError(f"{what} must be 1 to {_MAX_LENGTH} characters once escaped, not {len(escaped)}")


def _escaped(text: str, what: str) -> str:
    try:
        return _unsafe.sub(_percent, text)
    except UnicodeEncodeError:
        raise ValueError(f"{what} must be valid Unicode without lone surrogates, not {text!r:.80}") from None


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode())
