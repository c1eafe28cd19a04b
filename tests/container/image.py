"""Gives an image with Redis 8: the official one where images can be pulled, else one built from Debian's packages."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from tests.container.engine import EngineError, install_missing, require_root

OFFICIAL = "redis:8"
BUILT = "aioredis-patterns/redis-server:8"


def redis_image(client: docker.DockerClient) -> str:
    """Name an image that the engine has: one that was there, or pulled now, or built now."""
    for name in (OFFICIAL, BUILT):
        if has_image(client, name):
            return name
    print(f"container: pulling {OFFICIAL}", flush=True)
    try:
        client.images.pull(OFFICIAL)
    except APIError:
        build_image(client)
        return BUILT
    return OFFICIAL


def has_image(client: docker.DockerClient, name: str) -> bool:
    """Tell whether the engine has the image already."""
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def build_image(client: docker.DockerClient) -> None:
    """Make an image of a small Debian with its own redis-server, which is Redis 8 from trixie on."""
    require_root()
    install_missing("debootstrap", "debootstrap", "debian-archive-keyring")
    print(f"container: {OFFICIAL} cannot be pulled; building {BUILT} from Debian's packages", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        unpack_packages(Path(folder))
        import_folder(client, Path(folder))


def unpack_packages(folder: Path) -> None:
    """Fill the folder with a Debian that can run redis-server."""
    debootstrap = ["debootstrap", "--variant=minbase", "--include=redis-server", "trixie", str(folder)]
    outcome = subprocess.run(debootstrap, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if outcome.returncode:
        raise EngineError(f"debootstrap failed; its last lines:\n{outcome.stdout[-2000:]}")


def import_folder(client: docker.DockerClient, folder: Path) -> None:
    """Hand the folder to the engine as an image."""
    repository, tag = BUILT.split(":")
    with subprocess.Popen(["tar", "--create", "--directory", str(folder), "."], stdout=subprocess.PIPE) as archive:
        client.api.import_image_from_stream(archive.stdout, repository=repository, tag=tag)
