"""`doctor`: whether a server, and the options of a client, can be relied upon.

It reads what the server tells of itself and tries what the library does: a script, a subscription, each command. It
leaves nothing behind; the one key it writes lives for a second.
"""

from __future__ import annotations

from .examine import examine
from .finding import Finding, Level
from .options import inspect_client

__all__ = ("Finding", "Level", "examine", "inspect_client")
