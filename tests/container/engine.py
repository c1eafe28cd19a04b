"""Makes sure a container engine answers: the one that runs, else one started here and stopped at the end.

An engine started here keeps its images under the user's cache folder, so only the first run has to build one. It
opens no port, writes no firewall rule and lets containers reach nothing outside this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import DockerException

START_WITHIN = 60.0
STOP_WITHIN = 30.0


class EngineError(Exception):
    """No container engine answers, and none can be started or given an image."""


@contextlib.contextmanager
def running_engine() -> Iterator[None]:
    """Hold an engine that answers where `DOCKER_HOST` (or its default) says."""
    if answers():
        yield
        return
    with started_engine(cache_folder()) as address:
        os.environ["DOCKER_HOST"] = address
        yield


def answers() -> bool:
    """Tell whether an engine answers."""
    try:
        client = docker.from_env()
    except DockerException:
        return False
    with contextlib.closing(client):
        return bool(client.ping())


def cache_folder() -> Path:
    """Name the folder that keeps the images of an engine started here."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "aioredis_patterns" / "engine"


@contextlib.contextmanager
def started_engine(folder: Path) -> Iterator[str]:
    """Start an engine of our own, yield its address, and stop it."""
    require_root()
    install_missing("dockerd", "docker.io")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"container: starting an engine in {folder}", flush=True)
    address, log = f"unix://{folder}/docker.sock", folder / "dockerd.log"
    with log.open("wb") as output:
        engine = subprocess.Popen(command(folder, address), stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until_ready(engine, address, log)
        yield address
    finally:
        engine.terminate()
        engine.wait(STOP_WITHIN)


def require_root() -> None:
    """Refuse where an engine cannot be started."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise EngineError("no container engine answers, and only root on Linux can start one: start yours, then retry")


def install_missing(program: str, *packages: str) -> None:
    """Install the distribution's packages, unless the program they bring is there."""
    if shutil.which(program):
        return
    if not shutil.which("apt-get"):
        raise EngineError(f"{program} is not installed: install it, then retry")
    print(f"container: installing {' '.join(packages)}", flush=True)
    apt_get = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run([*apt_get, "update"], check=True)
        install = [*apt_get, "install", "--yes", "--no-install-recommends", *packages]
        subprocess.run(install, check=True, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise EngineError(f"cannot install {' '.join(packages)}") from error


def command(folder: Path, address: str) -> list[str]:
    """Give the command of an engine that ends with us and leaves the machine's network alone."""
    return [
        *("setpriv", "--pdeathsig", "TERM"),
        *("dockerd", "--host", address),
        *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/dockerd.pid"),
        *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    ]


def wait_until_ready(engine: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Return as soon as the engine answers; raise with the end of its log when it does not."""
    os.environ["DOCKER_HOST"] = address
    deadline = time.monotonic() + START_WITHIN
    while not answers():
        if engine.poll() is not None or time.monotonic() > deadline:
            last_lines = log.read_text(errors="replace").splitlines()[-10:]
            raise EngineError("\n".join(["the engine did not start; its last lines:", *last_lines]))
        time.sleep(0.1)
