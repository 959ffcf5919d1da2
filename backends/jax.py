"""JAX on a CPU or a GPU."""

from __future__ import annotations

import functools
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from backends import hlo
from backends.base import (
    Array,
    Backend,
    BackendError,
    Spent,
    Step,
    Tree,
    batch_of,
    first_line,
    leaves,
    library_missing,
    small_gathered,
    spent,
)

try:
    import jax
    import jax.monitoring
except ModuleNotFoundError as error:
    raise library_missing("jax", "arraybench[jax]") from error

# A float64 array that silently becomes float32 would make every comparison of dtypes untrue.
jax.config.update("jax_enable_x64", True)
# Left alone, a float32 product runs as TF32 on an A100 or H100, and no other library here does that by default.
if "JAX_DEFAULT_MATMUL_PRECISION" not in os.environ:
    jax.config.update("jax_default_matmul_precision", "highest")

# Lowering and XLA's own work. Tracing is left out: what is traced inside another trace would count twice.
COMPILATION = ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration")
_compilations: list[float] = []


def _record_compilation(event: str, duration_secs: float, **_: Any) -> None:
    if event in COMPILATION:
        _compilations.append(duration_secs)


jax.monitoring.register_event_duration_secs_listener(_record_compilation)


class JaxBackend(Backend):
    """JAX: `jit` compiles, `lax.scan` folds; every call returns before its work is done."""

    name = "jax"
    xp = jax.numpy
    compiles = True
    dtypes = (*Backend.dtypes, "bfloat16")
    takes_host_arrays = True  # what `jit` places itself takes 1 µs more, `device_put` 18
    flat_parameters = False  # slicing one flat vector inside a step ran up to 12 times slower under XLA

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return tuple(_devices())

    @classmethod
    def version(cls) -> str:
        return jax.__version__

    def __init__(self, device: str) -> None:
        self.device = device
        self._device = _devices()[device]

    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        if self.owns(host):
            return jax.device_put(host if dtype is None else host.astype(dtype), self._device)
        # A copy, as JAX on a CPU takes an array that is aligned for its own, and would change with the host's. And straight to
        # the device: jax.numpy.asarray would take the way over JAX's default one.
        return jax.device_put(np.array(host, dtype=dtype), self._device)

    def to_numpy(self, array: Array) -> Any:
        return np.asarray(array)

    def owns(self, array: Any) -> bool:
        return isinstance(array, jax.Array)

    def synchronize(self, tree: Tree) -> Tree:
        return jax.block_until_ready(tree)

    def ready(self, tree: Tree) -> bool:
        return all(array.is_ready() for array in leaves(tree) if self.owns(array))  # the host's always are

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _Compiled(function) if self._device.platform == "cpu" else jax.jit(function)

    def compile_seconds(self) -> float:
        return sum(_compilations, 0.0)

    def fold(self, step: Step, state: Tree, over: tuple[Array, ...], data: tuple[Array, ...] = ()) -> tuple[Tree, Tree]:
        over, data = small_gathered(self.xp, over, data)
        return jax.lax.scan(lambda state, own: step(state, batch_of(self.xp, own, data)), state, over)

    def launches(self, function: Callable[..., Any], *arguments: Tree) -> int | None:
        if self._device.platform == "cpu" or not hasattr(function, "lower"):
            return None  # what is not compiled is one program for each of its primitives
        return hlo.launches(function.lower(*arguments).compile().as_text())

    def profile(self, function: Callable[..., Any], *arguments: Tree) -> list[Spent] | None:
        if not hasattr(jax.profiler, "ProfileData"):
            return None  # an older JAX writes traces, and cannot read them
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # nobody asks for Python's calls
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # Reading a trace makes classes that Python 3.12 warns of; where warnings are errors, that ends the process.
            warnings.simplefilter("ignore", DeprecationWarning)
            with jax.profiler.trace(folder, profiler_options=options):
                jax.block_until_ready(function(*arguments))
            return spent(event for trace in Path(folder).rglob("*.xplane.pb") for event in _instructions(trace))

    def describe(self) -> dict[str, Any]:
        on_cpu = self._device.platform == "cpu"
        statistics = self._device.memory_stats() or {}
        return super().describe() | {
            "device_name": self._device.device_kind,
            "driver": None if on_cpu else getattr(self._device.client, "platform_version", None),
            "memory_bytes": statistics.get("bytes_limit"),
            "blas": "XLA",
            "threads": len(os.sched_getaffinity(0)) if on_cpu and hasattr(os, "sched_getaffinity") else None,
        }

    def tf32(self) -> AbstractContextManager[Any]:
        return jax.default_matmul_precision("tensorfloat32")

    def peak_memory(self) -> int:
        statistics = self._device.memory_stats() or {}
        return statistics.get("peak_bytes_in_use") or super().peak_memory()


# Compiling for a CPU
#
# XLA gives products to the library YNN. What it has for a product with a short side, as the small networks' are, takes up to 15
# times as long as XLA's own code (32x2 by 2x3: 0.29 and 0.02 µs); of large ones it makes A Bᵀ in half the time or less.

SHORT = 32
WITHOUT_YNN = {"xla_cpu_experimental_ynn_fusion_type": ""}


class _Compiled:
    """`jax.jit` of a function; where it folds over products that are all short, without YNN. Its first arguments decide."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self._jitted = function, jax.jit(function)
        self._chosen: Callable[..., Any] | None = None

    def __call__(self, *arguments: Tree) -> Tree:
        if self._chosen is None:
            self._chosen = self._choose(arguments)
        return self._chosen(*arguments)

    def lower(self, *arguments: Tree) -> Any:
        """Return the lowered function, as `jax.jit` does it."""
        return self._jitted.lower(*arguments)

    def _choose(self, arguments: tuple[Tree, ...]) -> Callable[..., Any]:
        products = list(_folded_products(self._jitted.trace(*arguments).jaxpr.jaxpr))
        if not products or any(min(sides) > SHORT for sides in products) or not _has_ynn():
            return self._jitted
        without = jax.jit(self._function, compiler_options=WITHOUT_YNN)

        def call(*arguments: Tree) -> Tree:
            try:
                return without(*arguments)
            except ValueError:  # called where another function is compiled, JAX takes no options
                return self._jitted(*arguments)

        return call


@functools.cache
def _has_ynn() -> bool:
    """Tell whether XLA knows the option."""
    try:
        jax.jit(lambda x: x, compiler_options=WITHOUT_YNN).lower(
            0.0
        ).compile()  # which may be asked while a function is traced
    except jax.errors.JaxRuntimeError:
        return False
    return True


def _folded_products(jaxpr: Any, within: bool = False) -> Iterator[tuple[int, int, int]]:
    """Yield the rows, the columns and the length of the sums of every product in a program's folds."""
    for equation in jaxpr.eqns:
        if within and equation.primitive.name == "dot_general":
            (lhs, rhs), ((summed, _), _) = (x.aval.shape for x in equation.invars), equation.params["dimension_numbers"]
            length = math.prod(lhs[i] for i in summed)
            yield math.prod(lhs) // max(1, length), math.prod(rhs) // max(1, length), length
        for parameter in leaves(equation.params):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _folded_products(inner, within or equation.primitive.name == "scan")


CONTAINERS = ("while", "call", "conditional")  # their time is that of what runs in them


def _instructions(trace: Path) -> Iterator[Spent]:
    """Yield every run of an instruction of XLA's programs, as the profiler saw them."""
    for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
        for line in plane.lines:
            for event in line.events:
                if "hlo_op" in dict(event.stats) and not event.name.startswith(CONTAINERS):
                    yield Spent(event.name, 1, event.duration_ns * 1e-9)


def _devices() -> dict[str, Any]:
    """Return JAX's devices by name, its own default first."""
    found: dict[str, Any] = {}
    try:
        found |= _named(jax.devices())
    except RuntimeError as error:
        raise BackendError(f"jax finds no device: {first_line(error)}") from error
    try:
        found |= {name: device for name, device in _named(jax.devices("cpu")).items() if name not in found}
    except RuntimeError:
        return found  # JAX_PLATFORMS may leave the CPU out
    return found


def _named(devices: list[Any]) -> dict[str, Any]:
    """Name devices as `cpu`, or `gpu:0`, `gpu:1`, … as JAX numbers them."""
    alone = len(devices) == 1 and devices[0].platform == "cpu"
    return {"cpu" if alone else f"{device.platform}:{index}": device for index, device in enumerate(devices)}
