"""A client of a whole cluster."""

from __future__ import annotations

from typing import Any

from .pipelined import PipelinedRedis

__all__ = ("PipelinedCluster",)


class PipelinedCluster(PipelinedRedis):
    """In the making."""

    def __init__(self, nodes: list[tuple[str, int]], **options: Any) -> None:
        raise NotImplementedError
