"""A backend for arraybench in a package of its own: the template to copy.

The upper half is an array library, which you have already: this one computes with NumPy, but later. A call puts its work into
the queue of a device and returns at once, as calls do on a GPU; a thread does the work in order. The lower half is what
arraybench asks of a library. `arraybench conform later` checks it.
"""

from __future__ import annotations

import importlib.metadata
import operator
import types
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

import array_api_compat.numpy as compat
import numpy as np

from backends import Backend, Tree
from backends.base import leaves

# The library


class Device:
    """A queue of work and the thread that does it; `xp` is the array API namespace that creates its arrays here."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.xp = _namespace(self)
        self._queue = ThreadPoolExecutor(max_workers=1)

    def place(self, host: Any, dtype: Any = None) -> LaterArray:
        """Return a copy of a host array."""
        done: Future[Any] = Future()
        done.set_result(np.array(host, dtype=dtype))
        return LaterArray(self, done)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> LaterArray:
        """Queue a call on arrays of this device, and return its result before it is there."""
        self.require_here((args, kwargs))
        work = self._queue.submit(lambda: np.asarray(function(*_values(args), **_values(kwargs))))
        return LaterArray(self, work)

    def require_here(self, arguments: Tree) -> None:
        """Raise an error for arrays of another device or library: they get here through `place` alone."""
        for array in leaves(arguments):
            if isinstance(array, LaterArray) and array.device is not self:
                raise ValueError(f"an array of {array.device} cannot be used on {self}")
            if not isinstance(array, LaterArray) and hasattr(array, "__array_namespace__"):
                raise TypeError(f"{type(array).__name__} is no array of later")

    def __repr__(self) -> str:
        return f"later:{self.name}"


class LaterArray:
    """An array that will be there; whoever asks for its shape, its dtype or a number waits for it."""

    __array_ufunc__ = None  # NumPy's operators leave the answer to this class

    def __init__(self, device: Device, work: Future[Any]) -> None:
        self.device, self.work = device, work

    @property
    def value(self) -> Any:
        """The NumPy array, waited for."""
        return self.work.result()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("an array of later gets to the host through to_numpy alone")

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return self.device.xp

    def to_device(self, device: Device, /, *, stream: Any = None) -> LaterArray:
        return device.place(self.value)

    def __getitem__(self, key: Any) -> LaterArray:
        return self.device.call(operator.getitem, self, key)


def _binary(function: Callable[..., Any], reflected: bool = False) -> Callable[..., LaterArray]:
    def method(self: LaterArray, other: Any) -> LaterArray:
        return self.device.call(function, *((other, self) if reflected else (self, other)))

    return method


def _unary(function: Callable[..., Any]) -> Callable[..., LaterArray]:
    return lambda self: self.device.call(function, self)


def _waiting(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: function(self.value)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"):
    setattr(LaterArray, f"__{_name.strip('_')}__", _binary(getattr(operator, _name)))
    setattr(LaterArray, f"__r{_name.strip('_')}__", _binary(getattr(operator, _name), reflected=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(LaterArray, f"__{_name}__", _binary(getattr(operator, _name)))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(LaterArray, f"__{_name}__", _unary(getattr(operator, _name)))
for _name in ("T", "mT"):
    setattr(LaterArray, _name, property(_unary(operator.attrgetter(_name))))
for _name in ("shape", "dtype", "ndim", "size"):
    setattr(LaterArray, _name, property(_waiting(operator.attrgetter(_name))))
for _name, _function in (("bool", bool), ("float", float), ("int", int), ("index", operator.index), ("len", len)):
    setattr(LaterArray, f"__{_name}__", _waiting(_function))

ABOUT_DTYPES = ("can_cast", "finfo", "iinfo", "isdtype", "result_type")  # no work for a device


def _namespace(device: Device) -> types.ModuleType:
    """Return the array API namespace of a device: NumPy's functions, called there."""
    xp = types.ModuleType("later")
    for name in dir(compat):
        member = getattr(compat, name)
        if name in ABOUT_DTYPES:
            setattr(xp, name, lambda *args, f=member: f(*_values(args)))
        elif callable(member) and not isinstance(member, type) and not name.startswith("_"):
            setattr(xp, name, _called_on(device, member))
        elif not isinstance(member, types.ModuleType):  # dtypes and constants
            setattr(xp, name, member)
    here = device

    def asarray(
        obj: Any, /, *, dtype: Any = None, device: Device | None = None, copy: bool | None = None
    ) -> LaterArray:
        return (device or here).place(_values(obj), dtype)

    def unstack(x: LaterArray, /, *, axis: int = 0) -> tuple[LaterArray, ...]:
        return tuple(xp.take(x, i, axis=axis) for i in range(x.shape[axis]))

    xp.asarray, xp.unstack = asarray, unstack
    return xp


def _called_on(here: Device, function: Callable[..., Any]) -> Callable[..., LaterArray]:
    def called(*args: Any, device: Device | None = None, **kwargs: Any) -> LaterArray:
        return (device or here).call(function, *args, **kwargs)

    return called


def _values(tree: Tree) -> Tree:
    """Return arguments with NumPy arrays in the place of arrays."""
    if isinstance(tree, (tuple, list)):
        return type(tree)(map(_values, tree))
    if isinstance(tree, dict):
        return {key: _values(branch) for key, branch in tree.items()}
    return tree.value if isinstance(tree, LaterArray) else tree


DEVICES = {name: Device(name) for name in ("cpu:0", "cpu:1")}


# The backend


class LaterBackend(Backend):
    """What the array API standard leaves open; `backends.base` says what each member promises."""

    name = "later"  # as it is called in the entry points of pyproject.toml
    known: ClassVar[dict[str, Device]] = DEVICES

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return tuple(cls.known)

    @classmethod
    def why_not(cls, device: str) -> str | None:
        return f"there are {len(cls.known)} queues"

    @classmethod
    def version(cls) -> str:
        return importlib.metadata.version("arraybench-later")

    def __init__(self, device: str) -> None:
        self.device = device
        self._device = self.known[device]
        self.xp = self._device.xp

    def asarray(self, host: Any, dtype: str | None = None) -> LaterArray:
        return self._device.place(_values(host), dtype)

    def to_numpy(self, array: LaterArray) -> Any:
        return np.array(array.value)  # a copy: what the host does with it must not reach the device

    def owns(self, array: Any) -> bool:
        return isinstance(array, LaterArray)

    def synchronize(self, tree: Tree) -> Tree:
        for array in filter(self.owns, leaves(tree)):
            array.value  # noqa: B018 (it waits)
        return tree

    def ready(self, tree: Tree) -> bool:
        return all(array.work.done() for array in filter(self.owns, leaves(tree)))

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"device_name": "a thread that computes with NumPy", "threads": 1}
