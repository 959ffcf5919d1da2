"""Array libraries behind one protocol. `backends.get()` reads ARRAY_BACKEND; `backends.status()` tells what is usable."""

from backends.base import Array, ArraybenchError, Backend, BackendError, Tree
from backends.registry import Status, get, status

__all__ = ["Array", "ArraybenchError", "Backend", "BackendError", "Status", "Tree", "get", "status"]
