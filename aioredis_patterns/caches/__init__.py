"""Caches: values that are costly to get, kept in Redis."""

from .cache import Cache
from .decorator import Cached
from .leader import Loading
from .loaders import Loader, ManyLoader

__all__ = ("Cache", "Cached", "Loader", "Loading", "ManyLoader")
