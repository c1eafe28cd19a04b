"""redis-py's own asyncio tests with PipelinedRedis in the place of its client: what passed before passes still.

Run by `nox -s redis_py`. The tests come with redis-py's source distribution. They run twice on one server, first as
they are; a test that fails only the second time, and is not named in `EXCUSED`, fails the run.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

from aioredis_patterns.embedded import embedded_server

FILES = (
    "client commands connection connection_pool cwe_404 encoding hash lock monitor pipeline pubsub retry scripting "
    "sentinel_managed_connection usage_counter"
).split()

EXCUSED = {
    "test_single_connection": "replaces the retry object inside redis-py's connection, which we do not use",
    "test_slowlog_get": "reads every command the server got, so also the scripts that are loaded with the connection",
    "test_wait_command_not_found": "looks for a word in every command, so also in the scripts that are loaded",
    "MetricsRecording": "asks for redis-py's own command metrics, which the shared connection does not record",
}
"""Tests of what redis-py does inside, or of all that a server sees, by a part of their name, with the reason."""

REPLACE = "import redis.asyncio; from aioredis_patterns import PipelinedRedis; redis.asyncio.Redis = PipelinedRedis;"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        source = fetch(Path(folder))
        before, after = asyncio.run(run_both(source))
    lost = sorted(name for name in before - after if not any(excuse in name for excuse in EXCUSED))
    print(f"{len(after)} passed with PipelinedRedis, {len(before)} with redis-py's own client")
    for name in lost:
        print(f"only redis-py's own client passes {name}")
    return 1 if lost or not after else 0


def fetch(folder: Path) -> Path:
    """Redis-py's tests, of the version that is installed, without its package beside them."""
    requirement = f"redis=={version('redis')}"
    download = ["pip", "download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", requirement]
    subprocess.run([sys.executable, "-m", *download, "-q", "-d", str(folder)], check=True)
    with tarfile.open(next(folder.glob("redis-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source = next(path for path in folder.iterdir() if path.is_dir())
    (source / "redis").rename(source / "not_this_one")
    return source


async def run_both(source: Path) -> tuple[set[str], set[str]]:
    async with embedded_server(args=["--save", ""]) as server:
        before = await asyncio.to_thread(passed, source, server.url, "")
        after = await asyncio.to_thread(passed, source, server.url, REPLACE)
    return before, after


def passed(source: Path, url: str, first: str) -> set[str]:
    """The names of the tests that pass when this is executed before they are imported."""
    report = source / "report.xml"
    report.unlink(missing_ok=True)
    program = f"import sys, pytest; {first} sys.path.insert(0, ''); sys.exit(pytest.main(sys.argv[1:]))"
    files = [f"tests/test_asyncio/test_{name}.py" for name in FILES]
    options = ["--timeout=60", "-oaddopts=", "-pno:cacheprovider", f"--redis-url={url}", f"--junitxml={report}"]
    command = [sys.executable, "-c", program, *files, *options]
    subprocess.run(command, cwd=source, check=False, stdout=subprocess.DEVNULL)
    cases = ET.parse(report).iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}" for case in cases if len(case) == 0}


if __name__ == "__main__":
    sys.exit(main())
