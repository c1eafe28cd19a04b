"""The connection: `connect`, and the client it gives."""

from __future__ import annotations

from .connect import connect
from .pipelined import PipelinedRedis

__all__ = ("PipelinedRedis", "connect")
