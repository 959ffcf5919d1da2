"""CuPy on a CUDA GPU."""

from __future__ import annotations

from typing import Any

from backends.base import Array, Backend, BackendError, Tree, first_line, library_missing

try:
    import cupy
except ModuleNotFoundError as error:
    raise library_missing("cupy", "arraybench[cuda13]' or 'arraybench[cuda12]") from error

import array_api_compat.cupy as xp


class CupyBackend(Backend):
    """CuPy, each call a kernel on the current stream of its device."""

    name = "cupy"
    xp = xp

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        try:
            # CuPy imports without a GPU, and fails at the first allocation, kernel (NVRTC) or product (cuBLAS).
            identity = cupy.eye(2) + 0.0
            cupy.matmul(identity, identity).sum().get()
            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:  # the driver, the toolkit and the compiler raise unrelated classes
            raise BackendError(f"cupy cannot use a GPU: {first_line(error)}") from error
        return tuple(f"gpu:{index}" for index in range(count))

    @classmethod
    def version(cls) -> str:
        return cupy.__version__

    def __init__(self, device: str) -> None:
        self.device = device
        self._device = cupy.cuda.Device(int(device.removeprefix("gpu:")))
        self._device.use()  # arrays that the standard's functions create must land on this device too

    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        with self._device:
            return cupy.asarray(host, dtype=dtype)

    def to_numpy(self, array: Array) -> Any:
        return cupy.asnumpy(array)

    def owns(self, array: Any) -> bool:
        return isinstance(array, cupy.ndarray)

    def synchronize(self, tree: Tree) -> Tree:
        self._device.synchronize()
        return tree

    def ready(self, tree: Tree) -> bool:
        with self._device:
            return bool(cupy.cuda.get_current_stream().done)

    def describe(self) -> dict[str, Any]:
        properties = cupy.cuda.runtime.getDeviceProperties(self._device.id)
        return super().describe() | {
            "device_name": properties["name"].decode(),
            "driver": f"CUDA {cupy.cuda.runtime.driverGetVersion()}",
            "memory_bytes": properties["totalGlobalMem"],
            "blas": f"cuBLAS {cupy.cuda.cublas.getVersion(self._device.cublas_handle)}",
        }

    def peak_memory(self) -> int:
        return cupy.get_default_memory_pool().total_bytes()
