"""What must not be lost: users, stock and orders, in SQLite."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite

from aioredis_patterns import Deleted
from aioredis_patterns.types import KeyPart

TEAS = {"Assam": (9, 40), "Darjeeling": (14, 25), "Oolong": (18, 12), "White Peony": (23, 3)}
"""Price and stock of each."""

GUESTS = {"ada": "Likes it strong.", "bob": "Milk in first.", "cyd": "Only after five."}
PASSWORD = "tea"  # noqa: S105  # of every guest of the example

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, salt BLOB NOT NULL, password BLOB NOT NULL, about TEXT);
CREATE TABLE IF NOT EXISTS stock (tea TEXT PRIMARY KEY, price INTEGER NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, tea TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting'
);
"""

STOCK = """
SELECT tea, price, amount - (SELECT count(*) FROM orders WHERE orders.tea = stock.tea AND state = 'on its way')
FROM stock
"""


class Database:
    """One connection to the file of the database, for as long as the block lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sqlite: aiosqlite.Connection
        self.profiles_read = 0  #: to show on the page what the cache saves

    async def __aenter__(self) -> Self:
        self._sqlite = await aiosqlite.connect(self._path, isolation_level=None)
        await self._sqlite.executescript(SCHEMA)
        for tea, (price, left) in TEAS.items():
            await self._write("INSERT OR IGNORE INTO stock VALUES (?, ?, ?)", tea, price, left)
        salt = secrets.token_bytes(16)
        hashed = await asyncio.to_thread(_hashed, PASSWORD, salt)
        for name, about in GUESTS.items():
            await self._write("INSERT OR IGNORE INTO users VALUES (?, ?, ?, ?)", name, salt, hashed, about)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._sqlite.close()

    async def knows(self, name: str, password: str) -> bool:
        """Whether this is the user's password."""
        rows = await self._rows("SELECT salt, password FROM users WHERE name = ?", name)
        salt, known = rows[0] if rows else (b"", b"")
        return hmac.compare_digest(await asyncio.to_thread(_hashed, password, salt), known)

    async def profile(self, name: str) -> dict[str, str] | None:
        """A user as others see him; None for nobody."""
        self.profiles_read += 1
        rows = await self._rows("SELECT name, about FROM users WHERE name = ?", name)
        return {"name": rows[0][0], "about": rows[0][1]} if rows else None

    async def save_profile(self, name: KeyPart, profile: dict[str, str] | Deleted) -> None:
        """Change what others see of a user; what is deleted leaves nothing."""
        about = "" if isinstance(profile, Deleted) else profile["about"]
        await self._write("UPDATE users SET about = ? WHERE name = ?", about, name)

    async def stock(self) -> list[tuple[str, int, int]]:
        """Each tea, its price, and how many there are."""
        return [(tea, price, left) for tea, price, left in await self._rows(f"{STOCK} ORDER BY price")]

    async def left(self, tea: str) -> int | None:
        """How many there are; None of a tea that is not sold."""
        rows = await self._rows(f"{STOCK} WHERE tea = ?", tea)
        return rows[0][2] if rows else None

    async def add_order(self, user: str, tea: str) -> int:
        """Take an order down; its number."""
        return await self._write("INSERT INTO orders (user, tea) VALUES (?, ?)", user, tea)

    async def order(self, number: int) -> tuple[str, str]:
        """What was ordered, and what has become of it."""
        ((tea, state),) = await self._rows("SELECT tea, state FROM orders WHERE id = ?", number)
        return tea, state

    async def set_state(self, number: int, state: str) -> None:
        """Say what has become of an order."""
        await self._write("UPDATE orders SET state = ? WHERE id = ?", state, number)

    async def waiting(self) -> list[int]:
        """The orders that nothing has become of yet."""
        return [number for (number,) in await self._rows("SELECT id FROM orders WHERE state = 'waiting'")]

    async def orders(self, user: str) -> list[tuple[int, str, str]]:
        """What a user has ordered, the latest first."""
        found = await self._rows("SELECT id, tea, state FROM orders WHERE user = ? ORDER BY id DESC LIMIT 10", user)
        return [(number, tea, state) for number, tea, state in found]

    async def _rows(self, query: str, *values: Any) -> list[Any]:
        return list(await self._sqlite.execute_fetchall(query, values))

    async def _write(self, query: str, *values: Any) -> int:
        cursor = await self._sqlite.execute(query, values)
        return cursor.lastrowid or 0


def _hashed(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)
