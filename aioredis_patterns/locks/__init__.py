"""Locks: one holder at a time, over processes and machines.

Which one do I want?

| I want | take |
|---|---|
| one task at a time, anywhere | `Lock` |
"""

from __future__ import annotations

from .lease import Lease
from .lock import Lock
from .owner import LockOwner

__all__ = ("Lease", "Lock", "LockOwner")
