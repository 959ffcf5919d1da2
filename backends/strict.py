"""array-api-strict: the standard and nothing more, on simulated devices. For tests, never timed."""

from __future__ import annotations

from typing import Any

from backends.base import Array, Backend, library_missing

try:
    import array_api_strict as xp
except ModuleNotFoundError as error:
    raise library_missing("array-api-strict", "arraybench[dev]") from error

CPU = xp.Device("CPU_DEVICE")


class StrictBackend(Backend):
    """The standard's own arrays; one that lands on the wrong simulated device is an error at its next use."""

    name = "strict"
    xp = xp
    timed = False

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu", "device1", "device2")

    @classmethod
    def version(cls) -> str:
        return xp.__version__

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._device = CPU if device == "cpu" else xp.Device(device)

    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        array = host if self.owns(host) else xp.asarray(host, copy=True)
        array = array if dtype is None else xp.astype(array, getattr(xp, dtype))
        return array.to_device(self._device)

    def to_numpy(self, array: Array) -> Any:
        import numpy

        return numpy.array(array.to_device(CPU))

    def owns(self, array: Any) -> bool:
        return hasattr(array, "__array_namespace__") and array.__array_namespace__() is xp
