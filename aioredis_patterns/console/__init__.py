"""The command line.

`aioredis-patterns tour` shows every pattern at work, `aioredis-patterns doctor` checks a server, and
`aioredis-patterns worker` handles the messages of a queue until it is asked to end.

What the doctor says of a client of your own can be asked in code too:

    >>> from aioredis_patterns.console import inspect_client
    >>> [finding.topic for finding in inspect_client(redis) if finding.level == "warning"]
    []
"""

from __future__ import annotations

from .cli import main
from .doctor import Finding, Level, examine, inspect_client

__all__ = ("Finding", "Level", "examine", "inspect_client", "main")
