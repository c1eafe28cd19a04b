"""Cuts a stream of Redis's protocol into whole messages, and leaves every byte as it is."""

from __future__ import annotations

__all__ = ("Framer",)

_ATTRIBUTES = ord("|")
_BULKS = b"$=!"
_LISTS = b"*~>"
_MAPS = b"%|"
_SIZED = _BULKS + _LISTS + _MAPS


class Framer:
    r"""Collects bytes and gives back the messages that are whole.

    It reads RESP2 and RESP3, nested or not, in both directions: a command is an array of bulk strings. Where a message
    is cut off, the scan goes on at the same place with the next bytes, so big values cost no more than small ones.

    >>> framer = Framer()
    >>> framer.feed(b"+OK\r\n*2\r\n:1\r\n$2\r\nh")
    [b'+OK\r\n']
    >>> framer.feed(b"i\r\n")
    [b'*2\r\n:1\r\n$2\r\nhi\r\n']
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0  # where the next line starts; beyond the end while a bulk string is cut off
        self._missing = 1  # parts that the current message still lacks

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived and give the messages that it completes."""
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        while self._scan():
            frames.append(bytes(self._buffer[start : self._position]))
            start = self._position
            self._missing = 1
        del self._buffer[:start]
        self._position -= start
        return frames

    def _scan(self) -> bool:
        """Go on to the end of the current message; False if it is not here yet."""
        buffer = self._buffer
        while self._missing:
            line_end = buffer.find(b"\r\n", self._position)
            if line_end < 0:
                return False
            kind = buffer[self._position]
            size = int(buffer[self._position + 1 : line_end]) if kind in _SIZED else 0
            self._position = line_end + 2
            self._missing -= 1
            if kind in _BULKS:
                self._position += size + 2 if size >= 0 else 0  # a null has no body
            elif kind in _LISTS:
                self._missing += max(size, 0)
            elif kind in _MAPS:
                self._missing += 2 * size + (kind == _ATTRIBUTES)  # attributes come before what they describe
        return self._position <= len(buffer)
