"""Bring up the engine and Redis, then run pytest with `REDIS_URL` naming that server."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.container.engine import EngineError, running_engine
from tests.container.server import redis_container


def main(arguments: list[str]) -> int:
    """Run pytest with the arguments; the exit code is pytest's, or 1 when there is no container to run against."""
    try:
        with running_engine(), redis_container() as url:
            print(f"container: Redis answers at {url}", flush=True)
            suite = [sys.executable, "-m", "pytest", *arguments]
            return subprocess.run(suite, env={**os.environ, "REDIS_URL": url}, check=False).returncode
    except EngineError as error:
        print(f"container: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
