"""CuPy on a CUDA GPU."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from backends import kernels, launches
from backends.base import Array, Backend, BackendError, Step, Tree, first_line, library_missing, small_gathered
from backends.host import numpy_dtype
from backends.recording import UnrecordableError

try:
    import cupy
except ModuleNotFoundError as error:
    raise library_missing("cupy", "arraybench[cuda13]' or 'arraybench[cuda12]") from error

import array_api_compat.cupy as compat
from cupy._core import _routines_linalg

xp = launches.namespace(compat, "cupy")


class CupyBackend(Backend):
    """CuPy, each call a kernel on the current stream of its device; a fold makes few kernels of a step."""

    name = "cupy"
    xp = xp
    dtypes = (*Backend.dtypes, "bfloat16")  # since CuPy 14, as ml_dtypes has it

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
        self._compiler = kernels.Compiler(cupy, cupy.ElementwiseKernel)

    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        with self._device:
            return cupy.asarray(host, dtype=dtype and numpy_dtype(dtype))

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

    def fold(self, step: Step, state: Tree, over: tuple[Array, ...], data: tuple[Array, ...] = ()) -> tuple[Tree, Tree]:
        over, data = small_gathered(self.xp, over, data)
        try:
            return self._compiler.fold(step, state, over, data)
        except UnrecordableError:
            return super().fold(step, state, over, data)

    def launches(self, function: Callable[..., Any], *arguments: Tree) -> int | None:
        return self._compiler.launches(function, *arguments)

    def describe(self) -> dict[str, Any]:
        properties = cupy.cuda.runtime.getDeviceProperties(self._device.id)
        return super().describe() | {
            "device_name": properties["name"].decode(),
            "driver": f"CUDA {cupy.cuda.runtime.driverGetVersion()}",
            "memory_bytes": properties["totalGlobalMem"],
            "blas": f"cuBLAS {cupy.cuda.cublas.getVersion(self._device.cublas_handle)}",
        }

    @contextlib.contextmanager
    def tf32(self) -> Iterator[None]:
        before = cupy._core.get_compute_type("float32")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where the GPU has none, CuPy warns and goes on without
            cupy._core.set_compute_type("float32", _routines_linalg.COMPUTE_TYPE_TF32)
        try:
            yield
        finally:
            cupy._core.set_compute_type("float32", before)

    def peak_memory(self) -> int:
        return cupy.get_default_memory_pool().total_bytes()
