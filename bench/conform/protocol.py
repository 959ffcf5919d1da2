"""What a backend tells of itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

import backends
from backends import Backend, BackendError
from bench.conform.requirement import NotMetError, require, requirement

TYPES: dict[str, type] = {
    "name": str,
    "device": str,
    "spec": str,
    "compiles": bool,
    "flat_parameters": bool,
    "takes_host_arrays": bool,
    "timed": bool,
}
KEYS = ("backend", "version", "device", "device_name", "driver", "memory_bytes", "blas", "threads", "matmul_precision")
NOWHERE = "no_such_device"


@requirement
def every_member_is_there(backend: Backend) -> None:
    """It derives from `backends.Backend`, and its members are of the types that are declared there."""
    require(isinstance(backend, Backend), f"{type(backend).__name__} does not derive from Backend")
    for name, kind in TYPES.items():
        _require_type(name, getattr(backend, name, None), kind)
    require(vars(backend.xp), "xp is no namespace")
    _require_type("version()", backend.version(), str)
    _require_type("compile_seconds()", backend.compile_seconds(), float)


@requirement
def devices_are_opened_by_name(backend: Backend) -> None:
    """`devices()` names each device once, in lower case, and `name:device` opens it."""
    found = backend.devices()
    require(isinstance(found, tuple) and found, f"devices() gives {found!r}, not a tuple of names")
    require(len(set(found)) == len(found), f"devices() names one twice: {', '.join(found)}")
    for device in found:
        spec = f"{backend.name}:{device}"
        require(spec == spec.lower() and not set(spec) & set(", \t"), f"{spec!r} cannot be asked for as it is written")
        opened = backends.get(spec)
        same = isinstance(backend, type(opened)) and (opened.name, opened.device) == (backend.name, device)
        require(same, f"{spec} opens {opened.spec} of {type(opened).__name__}")


@requirement
def a_device_that_is_not_there_is_refused(backend: Backend) -> None:
    """A device that `devices()` leaves out is refused with a reason: `why_not` gives one line, or None."""
    reason = backend.why_not(NOWHERE)
    known = reason is None or (isinstance(reason, str) and reason and "\n" not in reason)
    require(known, f"why_not({NOWHERE!r}) gives {reason!r}")
    try:
        opened = backends.get(f"{backend.name}:{NOWHERE}")
    except BackendError as error:
        require(reason is None or reason in str(error), f"the error leaves the reason out: {error}")
    else:
        raise NotMetError(f"{backend.name}:{NOWHERE} opens {opened.spec}")


@requirement
def it_describes_itself(backend: Backend) -> None:
    """`describe()` has the keys that every backend's has, says what it is, and can be written as JSON."""
    found = backend.describe()
    require(tuple(found) == KEYS, f"its keys are {', '.join(found)}, not {', '.join(KEYS)}")
    own = (backend.name, backend.version(), backend.device)
    told = (found["backend"], found["version"], found["device"])
    require(told == own, f"it calls itself {', '.join(map(str, told))}, and is {', '.join(map(str, own))}")
    back = json.loads(json.dumps(found))
    require(back == found, "what is read back from JSON is something else")


@requirement
def peak_memory_is_counted(backend: Backend) -> None:
    """`peak_memory()` is a whole number of bytes, and no less than an array that is there."""
    placed = backend.synchronize(backend.asarray(np.ones(1000)))
    found = backend.peak_memory()
    _require_type("peak_memory()", found, int)
    require(found >= 8 * placed.shape[0], f"it is {found}, with an array of {8 * placed.shape[0]} bytes there")


def _require_type(name: str, found: Any, kind: type) -> None:
    require(isinstance(found, kind), f"{name} is {found!r}, not {kind.__name__}")
