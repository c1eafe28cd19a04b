"""Caches: values that are costly to get, kept in Redis."""

from .cache import Cache, Loader

__all__ = ("Cache", "Loader")
