"""`python -m aioredis_patterns`: the command line."""

from __future__ import annotations

import sys

from aioredis_patterns.console import main

__all__ = ()

if __name__ == "__main__":
    sys.exit(main())
