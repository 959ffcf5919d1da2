"""PyTorch: its namespace without wrappers, what it compiles and what it refuses to, and the GPU that it has not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from array_api_compat import array_namespace

import backends

ROOT = Path(__file__).parents[2]
TORCH = next(found for found in backends.status() if found.name == "torch")
if not TORCH.usable:
    pytest.skip(f"torch cannot be used here: {TORCH.reason}", allow_module_level=True)

compat = array_namespace(backends.get("torch:cpu").asarray(1.0))
USABLE = [f"torch:{device}" for device in TORCH.devices]


@pytest.fixture(params=USABLE)
def torch(request):
    return backends.get(request.param)


# The namespace


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [0.0, -1.0, 2.5, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["minimum", "maximum", "logaddexp"])
def test_a_number_beside_an_array_is_an_array_of_it(torch, name, number, dtype):
    for values in ([-1.5, -0.0, 0.0, 2.0], [np.nan, np.inf, -np.inf, 700.0], [], 3.0):
        x = torch.asarray(values, dtype)
        got, expected = getattr(torch.xp, name)(x, number), getattr(compat, name)(x, torch.xp.full_like(x, number))
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(torch.to_numpy(got), torch.to_numpy(expected), strict=True)


@pytest.mark.parametrize("name", ["minimum", "maximum"])
@pytest.mark.parametrize(("given", "other"), [([1.0], [2.0]), ([1, 3], [2, 2]), ([1.0], [np.nan]), ([[1], [3]], [2])])
def test_arrays_beside_each_other_are_left_to_the_compatible_namespace(torch, name, given, other):
    x, y = torch.asarray(given), torch.asarray(other)
    expected = getattr(np, name)(np.asarray(given), np.asarray(other))
    np.testing.assert_array_equal(torch.to_numpy(getattr(torch.xp, name)(x, y)), expected, strict=True)


@pytest.mark.parametrize(
    "dtypes", [("float32", "float32"), ("float32", "float64"), ("int32", "int64"), ("int8", "int8")]
)
def test_matmul_promotes_as_the_standard_has_it(torch, dtypes):
    a, b = (
        torch.asarray(np.arange(6).reshape(shape), dtype) for shape, dtype in zip([(2, 3), (3, 2)], dtypes, strict=True)
    )
    product = torch.xp.matmul(a, b)
    assert product.dtype == getattr(torch.xp, dtypes[1])
    np.testing.assert_array_equal(torch.to_numpy(product), torch.to_numpy(a) @ torch.to_numpy(b))


def test_every_function_that_is_not_replaced_is_the_compatible_namespaces_own():
    xp = backends.get("torch").xp
    replaced = {name for name, value in vars(compat).items() if getattr(xp, name) is not value}
    assert replaced - {"__name__", "__doc__"} == {"matmul", "minimum", "maximum", "logaddexp"}


# There


def test_what_becomes_of_the_host_s_array_does_not_show(torch):
    host = np.ones(3)
    placed = torch.asarray(host)
    host[:] = 2.0
    assert torch.to_numpy(placed).tolist() == [1.0, 1.0, 1.0]


def test_no_gradient_is_recorded(torch):
    given = torch.asarray([1.0]).requires_grad_()
    assert not torch.asarray(given).requires_grad
    assert not torch.compile(lambda x: x * 2.0)(given).requires_grad


# Compiled


def test_a_function_is_traced_once_for_all_arguments_of_a_kind(torch):
    traced = []

    def double(x):
        traced.append(x.shape)
        return 2.0 * x

    compiled = torch.compile(double)
    for values in ([1.0, 2.0], [3.0, 4.0], [5.0]):
        assert torch.to_numpy(compiled(torch.asarray(values))).tolist() == [2.0 * value for value in values]
    assert traced == [(2,), (1,)]


def test_an_array_that_is_given_twice_is_two_arguments(torch):
    compiled, a, b = torch.compile(lambda x, y: x - y), torch.asarray([3.0]), torch.asarray([1.0])
    assert [float(compiled(*given)[0]) for given in ((a, a), (a, b), (b, a))] == [0.0, 2.0, -2.0]


def test_an_argument_may_lie_in_memory_as_it_likes(torch):
    compiled, x = torch.compile(lambda x: x + x.T), torch.asarray(np.arange(9.0).reshape(3, 3))
    for given in (x, x.T, torch.xp.broadcast_to(x[:1, :], (3, 3))):
        np.testing.assert_array_equal(torch.to_numpy(compiled(given)), torch.to_numpy(given + given.T))


def test_what_is_no_array_comes_back_as_it_is_and_is_told_apart(torch):
    compiled = torch.compile(lambda x, n: {"x": [x * n], "n": (n, None)})
    for number in (2, 2.0, 3):
        found = compiled(torch.asarray([1.0]), number)
        assert (found["n"], type(found["n"][0])) == ((number, None), type(number))
        assert float(found["x"][0]) == number


def test_a_compiled_function_may_call_another(torch):
    inner = torch.compile(lambda x: x + 1.0)
    assert float(torch.compile(lambda x: 2.0 * inner(x))(torch.asarray(1.0))) == 4.0


def test_an_error_of_the_function_is_its_own(torch):
    with pytest.raises(ZeroDivisionError, match="by zero"):
        torch.compile(lambda x: 1 / 0)(torch.asarray([1.0]))


def test_a_function_that_asks_for_a_value_is_refused_in_a_sentence(torch):
    def sign(x):
        return x if x[0] > 0 else -x

    for function in (sign, lambda x: x[x > 0]):
        with pytest.raises(
            backends.BackendError, match=r"torch cannot compile .*: .*depends on the values of an array"
        ):
            torch.compile(function)(torch.asarray([1.0]))


def test_a_machine_without_a_compiler_is_told_in_a_sentence():
    source = "import backends; b = backends.get('torch:cpu'); b.compile(lambda x: x + 1.0)(b.asarray([1.0]))"
    environment = {"PATH": "", "CXX": "no-such-compiler", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1", "HOME": "/tmp"}
    ended = subprocess.run([sys.executable, "-c", source], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "torch cannot compile <lambda>: " in ended.stderr.splitlines()[-1]


def test_compiling_is_timed_and_running_is_not(torch):
    compiled, x = torch.compile(lambda x: x * 3.0 - 1.0), torch.asarray([1.0])
    before = torch.compile_seconds()
    compiled(x)
    after = torch.compile_seconds()
    assert before < after
    compiled(x)
    assert torch.compile_seconds() == after


# Folded


def test_a_fold_in_a_compiled_function_traces_its_step_once(torch):
    traced = []

    def step(state, batch):
        traced.append("step")
        return torch.xp.minimum(state + batch[0], 100.0), (state,)

    compiled = torch.compile(lambda state, xs: torch.fold(lambda *given: step(*given), state, (xs,)))
    for start in (0.0, 1.0):
        state, (before,) = compiled(torch.asarray(start), torch.asarray([1.0, 2.0, 3.0]))
        assert (float(state), torch.to_numpy(before).tolist()) == (start + 6.0, [start, start + 1.0, start + 3.0])
    assert len(traced) == 1


def test_two_folds_in_a_compiled_function_have_a_step_each(torch):
    def function(x, xs):
        x, _ = torch.fold(lambda state, batch: (state + batch[0], (state,)), x, (xs,))
        return torch.fold(lambda state, batch: (state * batch[0], (state,)), x, (xs,))[0]

    compiled = torch.compile(function)
    assert [float(compiled(torch.asarray(x), torch.asarray([2.0, 3.0]))) for x in (0.0, 1.0)] == [30.0, 36.0]


def test_a_fold_may_change_its_state_s_dtype_and_fold_again(torch):
    def outer(state, batch):
        inner, _ = torch.fold(lambda s, b: (s + b[0], (s,)), state, (batch[0],))
        return torch.xp.astype(inner, torch.xp.float64), (inner,)

    compiled = torch.compile(lambda state, xs: torch.fold(outer, state, (xs,)))
    state, (inner,) = compiled(torch.asarray(0.0, "float32"), torch.asarray([[1.0, 2.0], [3.0, 4.0]], "float32"))
    assert (state.dtype, float(state)) == (torch.xp.float64, 10.0)
    assert torch.to_numpy(inner).tolist() == [3.0, 10.0]


def test_a_step_that_closes_over_an_array_is_refused_in_a_sentence(torch):
    def function(x, xs):
        doubled = 2.0 * x
        return torch.fold(lambda state, batch: (state + doubled, (state,)), x, (xs,))

    with pytest.raises(backends.BackendError, match="an array that is not among its arguments"):
        torch.compile(function)(torch.asarray(1.0), torch.asarray([1.0]))


def test_a_fold_over_nothing_leaves_the_state_as_it_is(torch):
    compiled = torch.compile(lambda x, xs: torch.fold(lambda state, batch: (state + batch[0], (state,)), x, (xs,)))
    assert float(compiled(torch.asarray(1.0), torch.asarray([]))[0]) == 1.0


# Told


@pytest.mark.skipif("gpu:0" in TORCH.devices, reason="torch can use a GPU here")
def test_a_gpu_that_cannot_be_used_is_refused_in_the_words_of_torch_or_the_driver():
    with pytest.raises(backends.BackendError, match=r"torch has no device 'gpu' here: .*(CUDA|NVIDIA)"):
        backends.get("torch:gpu")


def test_the_blas_and_the_threads_are_those_of_torch():
    found = backends.get("torch:cpu").describe()
    assert found["blas"]
    assert found["threads"] >= 1


# Kernels that are counted


@pytest.mark.parametrize("compiled", [False, True])
def test_of_a_fold_the_kernels_of_one_step_are_counted(torch, compiled, monkeypatch):
    module, counted = sys.modules[type(torch).__module__], []
    monkeypatch.setattr(module, "_kernels", lambda call, device: counted.append(call()) or len(counted))
    monkeypatch.setattr(type(torch), "_on_gpu", True)
    make = torch.compile if compiled else lambda function: function
    xs = torch.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

    def fold(xs):
        return torch.fold(lambda s, batch: (s + batch[0], (s,)), xs[0], (xs,))

    assert torch.launches(make(fold), xs) == 1
    (state, output) = counted[0]
    assert (state.tolist(), [x.tolist() for x in output]) == ([2.0, 4.0], [[1.0, 2.0]])
    assert torch.launches(make(lambda x: x * 2.0), xs) == 2
    assert counted[1].tolist() == (xs * 2.0).tolist()


def test_on_a_cpu_no_kernels_are_counted():
    assert backends.get("torch:cpu").launches(lambda: None) is None
