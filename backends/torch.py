"""PyTorch on a CPU or a CUDA GPU."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
import types
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from backends.base import (
    Array,
    Backend,
    BackendError,
    Spent,
    Step,
    StepError,
    Tree,
    first_batch,
    first_line,
    library_missing,
    small_gathered,
    spent,
)
from backends.host import numpy_dtype

try:
    import torch
except ModuleNotFoundError as error:
    raise library_missing("torch", "arraybench[torch]") from error

import array_api_compat.torch as compat
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx


def _is_number(x: Any, beside: Array) -> bool:
    """Tell whether `x` is a number of Python's, not NaN, beside an array of such numbers."""
    return isinstance(x, float) and x == x and beside.is_floating_point()


def _matmul(x1: Array, x2: Array, /) -> Array:
    return torch.matmul(x1, x2) if x1.dtype == x2.dtype else compat.matmul(x1, x2)


def _minimum(x1: Array, x2: Any, /) -> Array:
    return torch.clamp(x1, max=x2) if _is_number(x2, beside=x1) else compat.minimum(x1, x2)


def _maximum(x1: Array, x2: Any, /) -> Array:
    return torch.clamp(x1, min=x2) if _is_number(x2, beside=x1) else compat.maximum(x1, x2)


def _logaddexp(x1: Array, x2: Any, /) -> Array:
    return compat.logaddexp(x1, x1.new_full((), x2) if _is_number(x2, beside=x1) else x2)


# The standard's functions, less the promotion of dtypes where there is none to do, and less the array that compat makes of a
# number: on 32 rows compat's minimum takes 5.3 µs and this one 1.4; on a GPU that array is a copy from the host.
xp = types.ModuleType("torch", "PyTorch's array API namespace without wrappers around its small functions.")
xp.__dict__.update(
    vars(compat) | {"matmul": _matmul, "minimum": _minimum, "maximum": _maximum, "logaddexp": _logaddexp}
)


class TorchBackend(Backend):
    """PyTorch: Inductor compiles, a fold is a Python loop over its compiled step; on a GPU a call returns before it is done."""

    name = "torch"
    xp = xp
    compiles = True
    dtypes = (*Backend.dtypes, "bfloat16")
    flat_parameters = True  # the coffee network's compiled step takes 12 µs, and 18 with an array for each parameter

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return (*_gpus()[0], "cpu")

    @classmethod
    def why_not(cls, device: str) -> str | None:
        return None if device.startswith("cpu") else _gpus()[1]

    @classmethod
    def version(cls) -> str:
        return str(torch.__version__)

    def __init__(self, device: str) -> None:
        self.device = device
        self._device = torch.device(device.replace("gpu", "cuda"))

    @property
    def _on_gpu(self) -> bool:
        return self._device.type == "cuda"

    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        if self.owns(host):
            return host.detach().to(self._device, dtype and getattr(torch, dtype))
        # torch.tensor copies; torch.asarray would share the host's memory, and has no read-only arrays. Neither reads backwards.
        array = np.asarray(host, dtype=dtype and numpy_dtype(dtype), order="C")
        if array.dtype.name != "bfloat16":
            return torch.tensor(array, device=self._device)
        return torch.tensor(array.view("int16"), device=self._device).view(torch.bfloat16)  # it knows not ml_dtypes's

    def to_numpy(self, array: Array) -> Any:
        array = array.detach().to("cpu", copy=True)  # on a CPU it would be the tensor's own memory
        if array.dtype != torch.bfloat16:
            return array.numpy()
        return array.view(torch.int16).numpy().view(numpy_dtype("bfloat16"))

    def owns(self, array: Any) -> bool:
        return isinstance(array, torch.Tensor)

    def synchronize(self, tree: Tree) -> Tree:
        if self._on_gpu:
            torch.cuda.synchronize(self._device)
        return tree

    def ready(self, tree: Tree) -> bool:
        return not self._on_gpu or torch.cuda.current_stream(self._device).query()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _Compiled(function)

    def compile_seconds(self) -> float:
        return _compile_seconds()

    def fold(self, step: Step, state: Tree, over: tuple[Array, ...], data: tuple[Array, ...] = ()) -> tuple[Tree, Tree]:
        """Do what `Backend.fold` does; inside a compiled function, with a compiled step."""
        if (within := _within.get()) is None:
            if _counting.get():
                raise StepError(lambda: step(state, first_batch(self.xp, over, data)))
            return super().fold(step, state, over, data)
        if within is TRACING:
            raise _FoldError
        compiled = within.setdefault(_identity(step), _Compiled(step, closed=True))
        if _counting.get():
            raise StepError(lambda: compiled(state, first_batch(self.xp, over, data)))
        over, data = small_gathered(self.xp, over, data)
        if not data:
            batches = list(zip(*(torch.unbind(stacked.contiguous()) for stacked in over), strict=True))
            if batches and (repeated := compiled.repeated(state, batches)):
                return repeated
        return super().fold(compiled, state, over, data)

    def launches(self, function: Callable[..., Any], *arguments: Tree) -> int | None:
        if not self._on_gpu:
            return None
        token = _counting.set(True)
        try:
            return _kernels(lambda: function(*arguments), self._device)
        except StepError as found:
            step = found.step
        finally:
            _counting.reset(token)
        return _kernels(step, self._device)

    def profile(self, function: Callable[..., Any], *arguments: Tree) -> list[Spent] | None:
        activity = torch.profiler.ProfilerActivity.CUDA if self._on_gpu else torch.profiler.ProfilerActivity.CPU
        with torch.profiler.profile(activities=[activity]) as profile:
            self.synchronize(function(*arguments))
        kind = torch.autograd.DeviceType.CUDA if self._on_gpu else torch.autograd.DeviceType.CPU
        seen = (event for event in profile.events() if event.device_type == kind)
        own = "self_device_time_total" if self._on_gpu else "self_cpu_time_total"
        return spent(Spent(event.name, 1, getattr(event, own) * 1e-6) for event in seen)

    def describe(self) -> dict[str, Any]:
        return super().describe() | (_describe_gpu(self._device) if self._on_gpu else _describe_cpu())

    @contextlib.contextmanager
    def tf32(self) -> Iterator[None]:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    def peak_memory(self) -> int:
        return torch.cuda.max_memory_reserved(self._device) if self._on_gpu else super().peak_memory()


# Compiling
#
# A function is traced as JAX traces it: it is called once, on stand-ins without values, and what it does to them is a graph.
# Inductor, the compiler behind `torch.compile`, makes a program of it. Dynamo, the half of `torch.compile` that reads bytecode
# instead, cannot follow array_api_compat, and its checks cost more than a small step: on the coffee network's graph they make
# 28 µs of 13.
#
# Inductor would unroll an epoch of 6,250 steps, and never be done. A function that folds therefore runs as it is written, and
# the step of its fold is compiled.

CLOCK = "arraybench"  # the name under which torch keeps how long it has compiled
TRACING = "tracing"
_within: ContextVar[Any] = ContextVar("_within", default=None)
"""What calls a fold: nobody that was compiled (None), a function that is traced, or the steps of one that folds."""


class _FoldError(BaseException):
    """Ends the trace of a function that folds."""


class _Compiled:
    """A function with a program for every structure, shape and dtype of its arguments."""

    def __init__(self, function: Callable[..., Any], closed: bool = False) -> None:
        self._function, self._closed = function, closed
        self._programs: dict[Hashable, _Program | _Folds] = {}

    def __call__(self, *arguments: Tree) -> Tree:
        if _within.get() is TRACING:
            return self._function(*arguments)
        program, leaves = self._find(arguments)
        return program(arguments, leaves)

    def repeated(self, state: Tree, batches: list[tuple[Array, ...]]) -> tuple[Tree, Tree] | None:
        """Return the fold of the function over the batches; None where a state's successor is not of its shapes and dtypes."""
        program, leaves = self._find((state, batches[0]))
        if not isinstance(program, _Program) or _flatten(program.result[0], []) != _flatten(state, []):
            return None
        run, held = program.run, len(leaves) - len(batches[0])
        outputs, leaves = [], leaves[:held]
        for batch in batches:
            found = run(*leaves, *batch)
            leaves = found[:held]
            outputs.append(found[held:])
        stacked = tuple(torch.stack(column) for column in zip(*outputs, strict=True))
        return _rebuild(program.result[0], iter(leaves)), stacked

    def _find(self, arguments: tuple[Tree, ...]) -> tuple[_Program | _Folds, list[Array]]:
        leaves: list[Array] = []
        signature = _flatten(arguments, leaves)
        if signature not in self._programs:
            self._programs[signature] = self._new(arguments, leaves)
        return self._programs[signature], leaves

    def _new(self, arguments: tuple[Tree, ...], leaves: list[Array]) -> _Program | _Folds:
        result: Tree = None

        def flat(*given: Array) -> list[Array]:
            nonlocal result
            found: list[Array] = []
            result = self._function(*_rebuild(arguments, iter(given)))
            _flatten(result, found)
            return found

        token = _within.set(TRACING)
        try:
            # A step may not close over arrays: they could be others when it is next run, and the program the same.
            with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=not self._closed):
                stand_ins = [torch.empty(leaf.shape, dtype=leaf.dtype, device=leaf.device) for leaf in leaves]
                graph = make_fx(flat)(*stand_ins)
        except _FoldError:
            return _Folds(self._function)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            reason = f"what it does depends on the values of an array ({first_line(error)})"
            raise BackendError(f"torch cannot compile {self}: {reason}") from error
        except AssertionError as error:
            if "allow_non_fake_inputs" not in str(error):
                raise
            raise BackendError(
                f"torch cannot compile {self}: it uses an array that is not among its arguments"
            ) from error
        finally:
            _within.reset(token)
        try:
            return _Program(_inductor(graph, stand_ins), result)
        except Exception as error:  # Inductor's own errors, a C++ compiler's, Triton's
            raise BackendError(f"torch cannot compile {self}: {first_line(error)}") from error

    def __str__(self) -> str:
        function = getattr(self._function, "func", self._function)  # that of a partial
        return getattr(function, "__qualname__", repr(function))


@dataclass(frozen=True)
class _Program:
    """What Inductor made of a function: from the arrays in its arguments to those in its result."""

    run: Callable[..., list[Array]]
    result: Tree
    """The function's result, stand-ins in the place of its arrays."""

    def __call__(self, arguments: tuple[Tree, ...], leaves: list[Array]) -> Tree:
        return _rebuild(self.result, iter(self.run(*leaves)))


class _Folds:
    """A function that folds: it runs as it is written, each of its folds with a compiled step."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._steps: dict[Hashable, _Compiled] = {}

    def __call__(self, arguments: tuple[Tree, ...], leaves: list[Array]) -> Tree:
        token = _within.set(self._steps)
        try:
            return self._function(*arguments)
        finally:
            _within.reset(token)


def _identity(step: Step) -> Hashable:
    """Return what steps share that do the same: one that a function makes anew for each call is known by what it closes over."""
    if not isinstance(step, types.FunctionType):
        return step
    seen = [cell.cell_contents for cell in step.__closure__ or ()] + [*(step.__defaults__ or ())]
    return step.__code__, *[(type(x), repr(x)) if isinstance(x, int | float | str) else id(x) for x in seen]


def _inductor(graph: Any, arguments: list[Array]) -> Callable[..., list[Array]]:
    """Return a graph's program."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # Inductor deprecates parts of itself, and recommends TF32
        from torch._dynamo.utils import dynamo_timed  # these load for two seconds: only where something is compiled
        from torch._inductor import config

        config.compile_threads = 1  # the processes that it would compile in would go on beside what is measured
        from torch._inductor.compile_fx import compile_fx

        # The calls of a program's kernels are C++ too; so they cost half on a CPU. On a GPU they are queued, and cost nothing.
        options = {"cpp_wrapper": arguments[0].device.type == "cpu"} if arguments else {}
        with dynamo_timed(CLOCK):
            program: Any = compile_fx(graph, arguments, config_patches=options)
            return program


def _compile_seconds() -> float:
    dynamo = sys.modules.get("torch._dynamo.utils")
    return sum(dynamo.compilation_time_metrics.get(CLOCK, ())) if dynamo else 0.0


def _flatten(tree: Tree, leaves: list[Array]) -> Hashable:
    """Add a tree's arrays to `leaves`, each contiguous, and return all else: its structure, their shapes and dtypes."""
    if isinstance(tree, torch.Tensor):
        leaves.append(tree.contiguous())
        return tree.shape, tree.dtype
    if isinstance(tree, (tuple, list)):
        return type(tree), *[_flatten(branch, leaves) for branch in tree]
    if isinstance(tree, dict):
        return dict, *[(key, _flatten(branch, leaves)) for key, branch in tree.items()]
    return type(tree), repr(tree) if isinstance(tree, float) else tree  # 0.0 and -0.0 are equal


def _rebuild(tree: Tree, leaves: Iterator[Array]) -> Tree:
    """Return a tree like this one with the next of `leaves` in the place of each of its arrays."""
    if isinstance(tree, torch.Tensor):
        return next(leaves)
    if isinstance(tree, (tuple, list)):
        branches = [_rebuild(branch, leaves) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    if isinstance(tree, dict):
        return {key: _rebuild(branch, leaves) for key, branch in tree.items()}
    return tree


# Telling

_counting: ContextVar[bool] = ContextVar("_counting", default=False)
"""Whether the kernels of a call are counted."""
COPIES = ("Memcpy", "Memset")


def _kernels(call: Callable[[], Tree], device: torch.device) -> int | None:
    """Return how many kernels the profiler sees of a call on a GPU; None where it sees none, as it may not be allowed to."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call()
        torch.cuda.synchronize(device)
    seen = [event.name for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not name.startswith(COPIES) for name in seen) or None


@functools.cache
def _gpus() -> tuple[tuple[str, ...], str | None]:
    """Return the names of the GPUs that can be used; where there are none, why, as torch or the driver has it."""
    try:
        torch.cuda.init()
        count = torch.cuda.device_count()
        for index in range(count):  # what is too old or too new for this torch fails at the first kernel
            identity = torch.eye(2, device=f"cuda:{index}")
            torch.matmul(identity, identity).sum().item()
    except Exception as error:  # the driver, the toolkit and torch raise unrelated classes
        return (), first_line(error)
    return tuple(f"gpu:{index}" for index in range(count)), None


def _describe_cpu() -> dict[str, Any]:
    built_with = torch.__config__.show()
    mkl = re.search(r"Math Kernel Library Version (\S+?)-", built_with)
    other = re.search(r"BLAS_INFO=(\w+)", built_with)
    return {
        "blas": f"mkl {mkl[1]}" if mkl else other and other[1],
        "threads": torch.get_num_threads(),
    }


def _describe_gpu(device: torch.device) -> dict[str, Any]:
    properties, library = torch.cuda.get_device_properties(device), cast(Any, torch._C)
    return {
        "device_name": properties.name,
        "driver": f"CUDA {library._cuda_getDriverVersion()}",
        "memory_bytes": properties.total_memory,
        "blas": f"cuBLAS of CUDA {torch.version.cuda}",
    }
