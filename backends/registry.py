"""Which backends there are, which of them can be used here, and the one that was asked for."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import sys
from dataclasses import dataclass
from types import TracebackType

from backends.base import Backend, BackendError, first_line

VARIABLE = "ARRAY_BACKEND"
GROUP = "array_backends"
BUILT_IN = {
    "numpy": "backends.numpy:NumpyBackend",
    "numba": "backends.numba:NumbaBackend",
    "cupy": "backends.cupy:CupyBackend",
    "jax": "backends.jax:JaxBackend",
    "torch": "backends.torch:TorchBackend",
    "strict": "backends.strict:StrictBackend",
}


@dataclass(frozen=True)
class Status:
    """Whether a backend can be used here: its version and devices, or the reason why not."""

    name: str
    usable: bool
    version: str | None
    devices: tuple[str, ...]
    timed: bool
    reason: str | None


def get(name: str | Backend | None = None) -> Backend:
    """Return the backend called `name`, with an optional device: `numpy`, `jax:cpu`, `jax:gpu:1`, `cupy:0`.

    With no name, the environment variable ARRAY_BACKEND decides; without that, NumPy. Nothing else is ever
    chosen in its place: an unknown or unusable name raises BackendError, which says why and what is usable here.
    """
    if isinstance(name, Backend):
        return name
    if name is not None:
        return _open(name, f"backend {name!r}")
    asked = os.environ.get(VARIABLE, "").strip() or "numpy"
    try:
        return _open(asked, f"{VARIABLE}={asked}")
    except BackendError as error:
        _tell_without_traceback(error)
        raise


def status() -> list[Status]:
    """Tell of every known backend whether it can be used here."""
    return [_status(name) for name in _known()]


@functools.cache
def _open(spec: str, asked: str) -> Backend:
    name, _, device = spec.strip().lower().partition(":")
    if name not in _known():
        raise BackendError(f"{asked}: there is no backend of that name. {_usable()}")
    found = _status(name)
    if not found.usable:
        raise BackendError(f"{asked}: {found.reason}. {_usable()}")
    device = _match(device, found, asked)
    try:
        return _opened(name, device)
    except Exception as error:  # a class that lacks a member cannot be made, nor can one whose device has gone
        reason = f"{name} cannot be opened on {device}: {type(error).__name__}: {first_line(error)}"
        raise BackendError(f"{asked}: {reason}. {_usable()}") from error


@functools.cache
def _opened(name: str, device: str) -> Backend:
    """Return the one backend of that name and device, however it was asked for."""
    return _load(name)(device)


def _match(device: str, found: Status, asked: str) -> str:
    """Return the device of `found` that `device` names: in full, by number (`0`) or by kind (`gpu`)."""
    if not device:
        return found.devices[0]
    for candidate in found.devices:
        kind, _, index = candidate.partition(":")
        if device in (candidate, index or "0") or (device in (kind, f"{kind}:0") and index in ("", "0")):
            return candidate
    reason = _load(found.name).why_not(device)
    because = f": {reason}" if reason else ""
    raise BackendError(f"{asked}: {found.name} has no device {device!r} here{because}. {_usable()}")


@functools.cache
def _known() -> dict[str, str]:
    """Return the entry point of every backend by name; a built-in name cannot be taken over."""
    others = importlib.metadata.entry_points(group=GROUP)
    return {entry.name: entry.value for entry in others} | BUILT_IN


def _load(name: str) -> type[Backend]:
    module, _, attribute = _known()[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


@functools.cache
def _status(name: str) -> Status:
    try:
        backend = _load(name)
        return Status(name, True, backend.version(), backend.devices(), backend.timed, None)
    except BackendError as error:
        return Status(name, False, None, (), True, str(error))
    except Exception as error:  # a broken installation raises anything at import; say so and go on
        reason = f"{name} cannot be loaded: {type(error).__name__}: {first_line(error)}"
        return Status(name, False, None, (), True, reason)


def _usable() -> str:
    names = [f"{found.name}:{device}" for found in status() for device in found.devices if found.timed]
    return f"Usable here: {', '.join(names)}."


def _tell_without_traceback(error: BackendError) -> None:
    """Print only the sentence if `error` ends the program: the value came from the shell, not from the code."""
    before = sys.excepthook

    def hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        if value is error:
            print(value, file=sys.stderr)
        else:
            before(kind, value, trace)

    sys.excepthook = hook
