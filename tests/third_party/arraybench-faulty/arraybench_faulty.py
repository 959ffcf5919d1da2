"""Backends that break one promise each: `arraybench conform` must find every one of them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from arraybench_later import Device, LaterArray, LaterBackend

from backends import Backend


class NeverWaits(LaterBackend):
    """Has neither `synchronize` nor `ready`: what is right where calls return done, and wrong here."""

    name = "never-waits"
    synchronize = Backend.synchronize
    ready = Backend.ready


class ReturnsEarly(LaterBackend):
    """Knows what is done, and does not wait for it."""

    name = "returns-early"
    synchronize = Backend.synchronize


class AlwaysReady(LaterBackend):
    """Waits, but says of everything that it is done."""

    name = "always-ready"
    ready = Backend.ready


class Upcasts(LaterBackend):
    """Places every float as float64."""

    name = "upcasts"

    def asarray(self, host: Any, dtype: str | None = None) -> LaterArray:
        placed = super().asarray(host, dtype)
        return super().asarray(placed, "float64") if placed.dtype.kind == "f" else placed


class Careless(Device):
    """Takes an array of any device."""

    def require_here(self, arguments: Any) -> None:
        pass


class MixesDevices(LaterBackend):
    """Moves an array of another device without being asked."""

    name = "mixes-devices"
    known: ClassVar[dict[str, Device]] = {name: Careless(name) for name in LaterBackend.known}


class CompilesOnce(LaterBackend):
    """Takes the first call's result for every call's."""

    name = "compiles-once"
    compiles = True

    def compile(self, function: Any) -> Any:
        results: list[Any] = []

        def compiled(*arguments: Any) -> Any:
            if not results:
                results.append(function(*arguments))
            return results[0]

        return compiled


class LosesABatch(LaterBackend):
    """Ends a fold one batch early."""

    name = "loses-a-batch"

    def fold(self, step: Any, state: Any, over: Any, data: Any = ()) -> Any:
        fewer = tuple(stacked[:-1, ...] for stacked in over) if over[0].shape[0] > 1 else over
        return super().fold(step, state, fewer, data)


class SharesWhatItGives(LaterBackend):
    """Fetches the device's own memory."""

    name = "shares-what-it-gives"

    def to_numpy(self, array: LaterArray) -> Any:
        return array.value


class SharesWhatItTakes(LaterBackend):
    """Computes in the host's memory."""

    name = "shares-what-it-takes"

    def asarray(self, host: Any, dtype: str | None = None) -> LaterArray:
        placed = super().asarray(host, dtype)
        if isinstance(host, np.ndarray) and dtype in (None, host.dtype.name):
            placed.work._result = host
        return placed


class HalfWritten(Backend):
    """Lacks most of what a backend must have."""

    name = "half-written"

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def version(cls) -> str:
        return "0"
