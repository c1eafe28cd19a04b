"""Documents: things with parts, of which one is read or changed without the others getting lost.

Which one do I want?

| I want | take | a change costs |
|---|---|---|
| a dataclass or a pydantic model, whose fields are changed and counted one by one | `Record` | the fields that change |
| JSON of any form, changed at a path or as a whole | `Document` | the whole document, twice |
"""

from __future__ import annotations

from .document import Document
from .record import Record

__all__ = ("Document", "Record")
