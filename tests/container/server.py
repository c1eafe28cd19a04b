"""Runs one Redis container, reachable from this machine only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.container.image import OFFICIAL, redis_image

PORT = 6379
COMMAND = [
    "redis-server",
    *("--bind", "0.0.0.0"),  # noqa: S104  # inside the container; the port is published on the loopback address alone
    *("--protected-mode", "no"),
    *("--enable-debug-command", "yes"),
    *("--save", ""),
]


@contextlib.contextmanager
def redis_container() -> Iterator[str]:
    """Start Redis in a container, yield its URL, and remove the container."""
    with contextlib.closing(docker.from_env()) as client:
        image = redis_image(client)
    if image != OFFICIAL:
        # The reaper of testcontainers is an image too, and would have to be pulled.
        os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    container = DockerContainer(image).with_command(COMMAND)
    container.waiting_for(LogMessageWaitStrategy("Ready to accept connections"))
    container.ports[str(PORT)] = ("127.0.0.1",)  # an address alone leaves the port to the engine
    with container:
        yield f"redis://127.0.0.1:{container.get_exposed_port(PORT)}/0"
