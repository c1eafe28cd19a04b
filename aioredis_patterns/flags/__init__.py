"""Flags: what is switched on for whom, decided in the process and changed at once in all of them.

Which one do I want?

| I want | take |
|---|---|
| to switch something on for some, for a part of all, for a while, or off for all at once | `FeatureFlags` |
| to see how a flag is set | `Flag`, by `flags.get` |
| to see who changed it, and when | `FlagChange`, by `flags.audit` |
"""

from __future__ import annotations

from .audit import FlagChange
from .feature_flags import FeatureFlags
from .flag import Flag

__all__ = ("FeatureFlags", "Flag", "FlagChange")
