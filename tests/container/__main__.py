"""Bring up the engine and two Redis, then run pytest with `REDIS_URLS` naming one for each of its processes."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.container.engine import EngineError, running_engine
from tests.container.server import redis_container


def main(arguments: list[str]) -> int:
    """Run pytest with the arguments; the exit code is pytest's, or 1 when there is no container to run against."""
    try:
        with running_engine(), redis_container() as first, redis_container() as second:
            print(f"container: Redis answers at {first} and {second}", flush=True)
            suite = [sys.executable, "-m", "pytest", *arguments]
            urls = {"REDIS_URL": first, "REDIS_URLS": f"{first} {second}"}
            return subprocess.run(suite, env={**os.environ, **urls}, check=False).returncode
    except EngineError as error:
        print(f"container: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
