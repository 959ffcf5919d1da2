"""CuPy where there need be no GPU: its views are seen as such, and its compiler takes the kernels that are made for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.kernels import Program
from backends.recording import overlap, same
from tests.backends.test_kernels import CASES, OnKernels, problem

cupy = pytest.importorskip("cupy", reason="cupy is not installed", exc_type=ImportError)
core, kernels = pytest.importorskip("cupy._core.core"), pytest.importorskip("cupy._core._kernel")
nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc")


@pytest.fixture
def x():
    """A matrix of CuPy's over memory of the host: nothing may be computed with it."""
    memory = np.zeros(24, "float32")
    owned = cupy.cuda.UnownedMemory(memory.ctypes.data, memory.nbytes, memory, 0)
    return cupy.ndarray((4, 6), "float32", memptr=cupy.cuda.MemoryPointer(owned, 0))


def test_views_of_cupys_are_told_from_other_arrays(x):
    assert same(x.T, x.T)
    assert not same(x.T, x)
    assert same(x.reshape(-1)[6:12], x[1])
    assert overlap(x[1:, 2:], x.T)
    assert not overlap(x[0], x[1])
    assert x[:, None].base is x


def test_a_program_finds_the_rows_of_what_is_stacked(x):
    program = Program.__new__(Program)
    program._library = cupy
    home, stacked = x[:2], x.reshape(2, 2, 6)
    rows = program._rows(home.T[1:], home, stacked)
    assert same(rows[0, ...], x[:2].T[1:])
    assert same(rows[1, ...], x[2:].T[1:])


def test_the_namespace_is_cupys_and_can_be_taken_down():
    from backends import cupy as module

    assert module.xp.__name__ == "cupy"
    assert module.xp.float32 is np.float32
    assert module.xp.matmul.__wrapped__ is vars(module.compat)["matmul"]


# What NVRTC makes of a kernel


class Uncalled:
    """An elementwise kernel of CuPy's, as the source that CuPy would have compiled for arrays like these."""

    def __init__(self, *declared):
        self.kernel = cupy.ElementwiseKernel(*declared)

    def source(self, arrays):
        kernel, shape = self.kernel, arrays[-1].shape
        spread = [np.broadcast_to(x, shape) for x in arrays[: kernel.nin]] + arrays[kernel.nin :]
        dtypes = [x.dtype for x in arrays]
        *_, types = kernel._decide_params_type(tuple(dtypes[: kernel.nin]), tuple(dtypes[kernel.nin :]))
        described = [
            kernels._ArgInfo(1, cupy.ndarray, x.dtype, x.ndim, bool(x.flags.c_contiguous), True) for x in spread
        ]
        described.append(kernels._ArgInfo(2, cupy._core._carray.Indexer, None, len(shape), True, True))
        code = kernels._get_elementwise_kernel_code(
            tuple(described), types, kernel.params, kernel.operation, kernel.name, kernel.preamble
        )
        return "".join(f"#include <{name}>\n" for name in core._cupy_header_list) + code


@pytest.fixture
def compile():  # noqa: A001
    """Return what compiles a source to PTX, without a device."""
    try:
        nvrtc.getVersion()
        options = (*core.assemble_cupy_compiler_options(()), "-arch=sm_90", "-w")
    except Exception as missing:
        pytest.skip(f"NVRTC cannot be used here: {missing}")
    if not any((Path(option.removeprefix("-I")) / "cuda_fp16.h").is_file() for option in options):
        pytest.skip("CUDA's headers are not here")

    def to_ptx(source):
        program = nvrtc.createProgram(source, "kernel.cu", (), ())
        nvrtc.compileProgram(program, options)
        return nvrtc.getPTX(program).decode()

    return to_ptx


@pytest.mark.parametrize("name", ["the coffee network", "clipped classes"])
def test_every_kernel_of_a_step_compiles(name, compile):  # noqa: A002
    backend = OnKernels(Uncalled)
    trainer, state, over = problem(backend, *CASES[name][0])
    first = tuple(x[0, ...] for x in over)
    program = Program(trainer._step, state, first, np, Uncalled)
    made = [(function, arguments) for function, arguments in program.launches if isinstance(function, Uncalled)]
    assert len(made) >= 4
    for kernel, arguments in made:
        assert f".entry {kernel.kernel.name}(" in compile(kernel.source(arguments))
