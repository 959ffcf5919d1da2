"""CuPy's compiler, with NumPy in CuPy's place and g++ in NVRTC's: kernels do what the step does, and are few."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess

import array_api_compat.numpy as compat
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from backends import formulas, launches
from backends.base import Backend, leaves, small_gathered
from backends.formulas import TYPES
from backends.kernels import Compiler, Program
from backends.recording import UnrecordableError
from bench.conform import functions
from bench.networks import COFFEE
from core import losses
from core.layers import Activation, Dense, Normalization
from core.optimizers import SGD, Adam
from core.step import objective
from core.training import Trainer

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")

xp = launches.namespace(compat, "numpy")
NUMBERS = itertools.count()

# CuPy's elementwise kernel in C: an index for each number of the output, broadcast inputs, references into the arrays.
KERNEL = """
extern "C" void {name}(long size, int ndim, const long* shape, char** data, const long* strides) {{
    for (long number = 0; number < size; ++number) {{
        long at[{count}] = {{0}};
        for (long rest = number, axis = ndim - 1; axis >= 0; rest /= shape[axis--])
            for (int k = 0; k < {count}; ++k) at[k] += rest % shape[axis] * strides[k * ndim + axis];
        {references}
        {body}
    }}
}}
"""


class Compiled:
    """What CuPy's ElementwiseKernel is, as far as it is used: on NumPy arrays, compiled with all others of a test."""

    def __init__(self, folder, made, inputs, outputs, body, name):
        self.folder, self.made, self.name, self.body, self.call = folder, made, f"{name}_{len(made)}", body, None
        self.parameters = [declared.split() for declared in f"{inputs}, {outputs}".split(", ") if declared]
        self.outputs = len(outputs.split(", "))

    @property
    def source(self):
        references = [
            f"{'const ' * (k < len(self.parameters) - self.outputs)}{TYPES[dtype]} &{name}"
            f" = *({TYPES[dtype]}*)(data[{k}] + at[{k}]);"
            for k, (dtype, name) in enumerate(self.parameters)
        ]
        names = {"name": self.name, "count": len(self.parameters), "body": self.body}
        return KERNEL.format(references=" ".join(references), **names)

    def compile(self):
        """Compile every kernel that is not yet, in one call of the compiler."""
        fresh = [kernel for kernel in self.made if kernel.call is None]
        source = "#include <math.h>" + "".join(kernel.source for kernel in fresh)
        path = self.folder / f"{next(NUMBERS)}.so"
        command = ["g++", "-x", "c++", "-", "-shared", "-fPIC", "-o", path]
        subprocess.run(command, input=source, text=True, check=True, capture_output=True)
        library = ctypes.CDLL(str(path))
        for kernel in fresh:
            kernel.call = getattr(library, kernel.name)

    def __call__(self, *arrays):
        if self.call is None:
            self.compile()
        shape = arrays[-1].shape
        assert [x.dtype.name for x in arrays] == [dtype for dtype, _ in self.parameters]
        assert {x.shape for x in arrays[-self.outputs :]} == {shape}
        strides = [stride for x in arrays for stride in np.broadcast_to(x, shape).strides]
        self.call(
            ctypes.c_long(arrays[-1].size),
            len(shape),
            (ctypes.c_long * max(1, len(shape)))(*shape),
            (ctypes.c_void_p * len(arrays))(*(x.ctypes.data for x in arrays)),
            (ctypes.c_long * max(1, len(strides)))(*strides),
        )


class OnKernels(type(backends.get("numpy"))):
    """A backend with NumPy's arrays that folds as CuPy's does."""

    xp = xp

    def __init__(self, make):
        super().__init__()
        self.compiler = Compiler(np, make)

    def fold(self, step, state, over, data=()):
        over, data = small_gathered(self.xp, over, data)
        try:
            return self.compiler.fold(step, state, over, data)
        except UnrecordableError:
            return Backend.fold(self, step, state, over, data)

    def launches(self, function, *arguments):
        return self.compiler.launches(function, *arguments)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def made():
    """The kernels that a test makes."""
    return []


@pytest.fixture
def backend(folder, made):
    def make(*declared):
        made.append(Compiled(folder, made, *declared))
        return made[-1]

    return OnKernels(make)


def assert_agree(found, expected, rtol=2e-5, size=1e-30):
    """Compare trees to that share of each array's largest number; of `size`, where what made it is larger and cancels."""
    found, expected = list(leaves(found)), list(leaves(expected))
    assert [(np.shape(x), np.asarray(x).dtype) for x in found] == [(np.shape(x), np.asarray(x).dtype) for x in expected]
    for got, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=rtol, atol=rtol * np.abs(value).max(initial=size))


def folded(backend, step, state, batches):
    """Return the compiler's fold, which must not be refused, and the loop's."""
    return backend.compiler.fold(step, state, batches), Backend.fold(backend, step, state, batches)


# Training


ADAM = Adam(0.01)


def network(layers, loss, target, optimizer=ADAM, dtype="float32", weighted=False):
    return layers, loss, target, optimizer, dtype, weighted


def hidden(activation, units=3):
    return (Dense(4, activation), Dense(units, "sigmoid" if units == 1 else "softmax"))


def adapted():
    layer = Normalization()
    layer.variables.create((np.array([0.5, -0.5]), np.array([2.0, 0.5]), np.zeros(())), 2, "float32")
    return layer


BINARY, SPARSE, CATEGORICAL = "binary_crossentropy", "sparse_categorical_crossentropy", "categorical_crossentropy"
CASES = {
    "the coffee network": (network(COFFEE.layers(), BINARY, "binary"), 11),
    "in float64": (network(COFFEE.layers(), BINARY, "binary", dtype="float64"), 11),
    "tanh": (network(hidden("tanh", 1), BINARY, "binary"), 11),
    "one layer": (network((Dense(1, "sigmoid"),), BINARY, "binary"), 5),
    "no bias": (network((Dense(4, "relu", use_bias=False), Dense(1, "sigmoid")), BINARY, "binary"), 10),
    "ReLU and softmax": (network(hidden("relu"), SPARSE, "classes"), 15),
    "one-hot targets": (network(hidden("relu"), CATEGORICAL, "one-hot"), 16),
    "softmax within": (network((Dense(4, "softmax"), Dense(1, "sigmoid")), BINARY, "binary"), 17),
    "clipped probabilities": (network((*hidden("relu", 1), Activation("linear")), BINARY, "binary"), 11),
    "clipped classes": (network((*hidden("relu"), Activation("linear")), SPARSE, "classes"), 21),
    "mean squared error": (network((Dense(4, "tanh"), Dense(3)), "mse", "numbers", SGD()), 11),
    "SGD": (network(hidden("relu", 1), BINARY, "binary", SGD(0.1)), 11),
    "momentum": (network(hidden("relu", 1), BINARY, "binary", SGD(0.1, 0.9)), 11),
    "Nesterov": (network(hidden("relu", 1), BINARY, "binary", SGD(0.1, 0.9, nesterov=True)), 11),
    "sample weights": (network(hidden("relu", 1), BINARY, "binary", weighted=True), 11),
    "Normalization": (network((adapted(), *hidden("relu", 1)), BINARY, "binary"), 12),
    "a frozen layer": (network((Dense(4, "relu", trainable=False), Dense(1, "sigmoid")), BINARY, "binary"), 7),
}


def problem(backend, layers, loss, target, optimizer, dtype, weighted, steps=5, rows=8):
    """Return a trainer, the state that it starts from, and what its steps go over: batches, and the size of each step."""
    generator = np.random.default_rng(3)
    features, weights = 2, []
    for layer in layers:
        own = layer.variables.numpy() if layer.variables.built else layer.initial_weights(features, generator)
        weights.append(tuple(np.asarray(w + 0.01 * generator.normal(size=w.shape), dtype) for w in own))
        features = layer.output_features(features)
    targets = {
        "binary": generator.integers(0, 2, (steps, rows, 1)).astype(dtype),
        "classes": generator.integers(0, 3, (steps, rows)),
        "one-hot": np.eye(3, dtype=dtype)[generator.integers(0, 3, (steps, rows))],
        "numbers": generator.normal(size=(steps, rows, 3)).astype(dtype),
    }
    batches = generator.normal(size=(steps, rows, 2)).astype(dtype), targets[target]
    if weighted:
        batches += (generator.uniform(size=(steps, rows)).astype(dtype),)
    trainer = Trainer(objective(tuple(layers), losses.get(loss)), optimizer, tuple(weights), backend)
    state, alphas = trainer.training.plan(trainer.start(tuple(weights), dtype), steps, xp=xp)
    return trainer, state, (*batches, alphas)


@pytest.mark.parametrize("name", CASES)
def test_few_kernels_do_what_the_step_does(name, backend):
    case, expected = CASES[name]
    trainer, state, over = problem(backend, *case)
    found, loop = folded(backend, trainer._step, state, over)
    assert_agree(found, loop, 1e-12 if case[4] == "float64" else 2e-5)
    assert backend.launches(trainer.run, state, over[:-1], None) == expected


def test_the_coffee_networks_step_is_written_where_it_belongs(backend):
    """The optimizer's kernel reads and writes the state in place; gradients are made in the flat vector that it reads."""
    trainer, state, over = problem(backend, *CASES["the coffee network"][0])
    program = Program(
        trainer._step, state, tuple(x[0, ...] for x in over), np, backend.compiler._record.keywords["make"]
    )
    kernel, arguments = program.launches[-1]
    w, m, v, _ = program.state
    inputs, outputs = arguments[: -kernel.outputs], arguments[-kernel.outputs :]
    assert {id(x) for x in outputs} == {id(w), id(m), id(v)}
    (gradient,) = [x for x in inputs if x.shape == w.shape and not any(x is y for y in (w, m, v))]
    makers = [out for _, (*_, out) in program.launches if out is not gradient and np.may_share_memory(out, gradient)]
    assert sum(x.size for x in makers) == gradient.size


def test_a_step_is_called_only_to_record_and_to_check_it(backend):
    calls = []

    def step(state, batch):
        calls.append(type(batch[0]))
        return state + xp.sum(batch[0]), (batch[0] * 2.0,)

    for rows in (3, 3, 2):
        state, batches = np.zeros(()), (np.ones((4, rows)),)
        assert_agree(*folded(backend, step, state, batches))
        del calls[-len(batches[0]) :]  # the loop's
    assert calls == [launches.Recorded, np.ndarray, np.ndarray] * 2


def test_large_batches_are_gathered_when_their_turn_comes(backend):
    trainer, state, over = problem(backend, *CASES["the coffee network"][0])
    *batches, alphas = over
    data = tuple(x.reshape(-1, *x.shape[2:]) for x in batches)
    order = np.random.default_rng(4).permutation(len(data[0])).reshape(batches[0].shape[:2])
    found = backend.compiler.fold(trainer._step, state, (order, alphas), data)
    assert_agree(found, backend.compiler.fold(trainer._step, state, (*(x[order] for x in data), alphas)))


def test_what_a_fold_is_given_and_what_it_returned_is_left_alone(backend):
    trainer, state, over = problem(backend, *CASES["the coffee network"][0])
    given_arrays = [x for x in (*leaves(state), *over) if isinstance(x, np.ndarray)]
    for array in given_arrays:
        array.flags.writeable = False
    copies = [x.copy() for x in given_arrays]
    first = backend.fold(trainer._step, state, over)
    found = [x.copy() for x in leaves(first)]
    backend.fold(trainer._step, state, tuple(x[::-1] for x in over))
    assert all(map(np.array_equal, given_arrays, copies))
    assert all(map(np.array_equal, leaves(first), found))


@pytest.mark.parametrize(
    "check",
    [
        functions.a_fold_is_a_loop,
        functions.a_fold_takes_rows_in_an_order,
        functions.a_fold_can_be_compiled,
        functions.launches_are_told_or_not,
    ],
)
def test_a_fold_keeps_the_protocol(check, backend):
    assert check.on(backend).result == "passed"


# What may be moved, and what not


def output_of_every_kind(state, batch):
    w, t = state
    part = batch[0] * 2.0
    rows = xp.sum(part, axis=0)
    after = w + rows
    return (after, t + 1.0), (w, after, batch[0], part[:, 0], part, xp.ones(2), after[1:], t, rows)


def reads_the_old_state_late(state, batch):
    a, b = state
    new = a + batch[0][0]
    return (new, b + a[::-1] + new[::-1]), (new * a,)


def reads_a_part_of_what_it_joins(state, batch):
    part = batch[0][0] * 2.0
    whole = xp.concat([part, part[1:] * 1.0])
    return (state[0] + whole[:3], state[1] + whole[2:]), (part[:1] + 0.0,)


def joins_what_it_multiplies(state, batch):
    product = xp.matmul(batch[0].T, batch[0])
    parts = [xp.reshape(product, (-1,)), xp.sum(batch[0], axis=0), xp.sum(product * 0.5, axis=0)]
    g = xp.concat(parts)
    return (state[0] - g[9:12], state[1] - g[:3]), (xp.sum(g),)


def uses_a_small_result_twice(state, batch):
    scale = 1.0 / (1.0 + xp.max(xp.abs(batch[0])))
    return (state[0] * scale, state[1] - scale), (batch[0] * scale, scale * 2.0)


def calls_what_has_no_formula(state, batch):
    order = xp.argsort(batch[0], axis=0)
    return (xp.flip(state[0]) * 1.0, state[1] + xp.take(batch[0], xp.asarray([1]), axis=0)[0]), (
        order,
        xp.sort(batch[0]),
    )


def mixes_dtypes(state, batch):
    whole = xp.astype(batch[0] * 4.0, xp.int32)
    return state, (
        whole,
        whole + 1,
        whole / 2,
        (whole > 1) & (batch[0] > 0),
        xp.astype(whole, xp.bool),
        2.0 ** state[0],
    )


STEPS = [
    output_of_every_kind,
    reads_the_old_state_late,
    reads_a_part_of_what_it_joins,
    joins_what_it_multiplies,
    uses_a_small_result_twice,
    calls_what_has_no_formula,
    mixes_dtypes,
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_what_is_moved_changes_nothing(step, backend):
    generator = np.random.default_rng(5)
    state, batches = tuple(generator.normal(size=(2, 3))), (generator.normal(size=(6, 4, 3)),)
    if step is output_of_every_kind:
        state = state[0], np.zeros(())
    assert_agree(*folded(backend, step, state, batches), 1e-12)


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_step_is_what_it_was(data, backend):
    """Calls on a few arrays of three shapes that broadcast, each on what there is by then, with views and reductions."""
    shapes = [(), (3,), (4, 3)]
    plan = data.draw(
        st.lists(st.tuples(st.integers(0, 7), st.integers(0, 99), st.integers(0, 99)), min_size=3, max_size=14)
    )
    kept = data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=3))

    def step(state, batch):
        made = [*state, batch[0]]
        for kind, i, j in plan:
            a, b = made[i % len(made)], made[j % len(made)]
            if kind < 4:
                made.append([xp.add, xp.multiply, xp.maximum, xp.subtract][kind](a, b) * 0.5)
            elif kind == 4:
                made.append(xp.sum(a, axis=0) * 0.25 if a.ndim else a * 0.5)
            elif kind == 5:
                made.append(a[::-1] if a.ndim else a + 1.0)
            elif kind == 6:
                made.append(xp.matmul(a.T, a) * 0.1 if a.ndim == 2 else xp.tanh(a))
                made.append(xp.tanh(made.pop()[0, :]) if made[-1].ndim == 2 else made.pop())
            else:
                made.append(xp.where(a > 0, a, 0.0))
        after = tuple(next(x for x in reversed(made) if x.shape == old.shape) * 0.5 for old in state)
        return after, tuple(made[k % len(made)] for k in kept)

    generator = np.random.default_rng(9)
    state, batches = tuple(generator.normal(size=n) for n in shapes), (generator.normal(size=(3, 4, 3)),)
    assert_agree(*folded(backend, step, state, batches), 1e-12, size=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_formulas_are_numpys(dtype, backend):
    numbers = np.array([-np.inf, -700.0, -1.5, -0.0, 0.0, 0.3, 1.0, 2.0, 700.0, np.inf, np.nan], dtype)
    x, y = (a.ravel() for a in np.meshgrid(numbers, numbers))
    one = ("abs", "cos", "exp", "expm1", "log", "log1p", "negative", "sin", "sqrt", "square", "tanh")
    two = ("add", "divide", "logaddexp", "maximum", "minimum", "multiply", "pow", "subtract")
    two += ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")

    def step(state, batch):
        x, y = batch
        ones = [getattr(xp, name)(x) for name in one]
        twos = [getattr(xp, name)(*pair) for name in two for pair in ((x, y), (x, 0.0), (x, 1.5))]
        return state, (*ones, *twos, xp.where(x > y, x, 0.0), xp.clip(x, -1.0, 2.0), xp.astype(x > y, x.dtype))

    assert set(formulas.FORMULAS) | set(formulas.REAL_FORMULAS) == {*one, *two, "astype", "clip", "where"}
    with np.errstate(all="ignore"):
        found = backend.compiler.fold(step, np.zeros(1, dtype), (np.stack([x, x]), np.stack([y, y])))[1]
        expected = Backend.fold(backend, step, np.zeros(1, dtype), (np.stack([x, x]), np.stack([y, y])))[1]
    assert (
        backend.launches(
            lambda *batches: backend.fold(step, np.zeros(1, dtype), batches), *(np.stack([a, a]) for a in (x, y))
        )
        == 1
    )
    for got, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=4 * np.finfo(dtype).eps, strict=True)


# What is refused


def decides(state, batch):
    return (state + 1.0 if batch[0].sum() > 0 else state - 1.0), ()


def decides_by_the_namespace(state, batch):
    return (state + 1.0 if xp.sum(batch[0]) > 0 else state - 1.0), ()


def takes_a_number_out(state, batch):
    return state + float(batch[0][0]), ()


def writes(state, batch):
    new = state + 0.0
    new[0] = 1.0
    return new, ()


def escapes(state, batch):
    return state + np.asarray(batch[0]) * 2.0, ()


def grows(state, batch):
    return xp.concat([state, batch[0]]), ()


@pytest.mark.parametrize("step", [decides, decides_by_the_namespace, takes_a_number_out, writes, escapes, grows])
def test_a_step_that_cannot_be_recorded_runs_as_it_is_written(step, backend):
    state, batches = np.ones(4), (np.random.default_rng(0).normal(size=(6, 4)),)
    with pytest.raises(UnrecordableError):
        backend.compiler.fold(step, state, batches)
    assert_agree(backend.fold(step, state, batches), Backend.fold(backend, step, state, batches))


def wrong_sign(body):
    return body.replace(" - ", " + ", 1)


def lost_write(body):
    return body.replace("y0 = ", "// ")


def no_program(body):
    return body + "this is not C"


@pytest.mark.parametrize("fault", [wrong_sign, lost_write, no_program])
def test_a_kernel_that_is_wrong_is_refused_and_the_step_runs_as_it_is_written(fault, folder, made):
    def make(inputs, outputs, body, name):
        made.append(Compiled(folder, made, inputs, outputs, fault(body), name))
        return made[-1]

    backend = OnKernels(make)
    trainer, state, over = problem(backend, *CASES["the coffee network"][0])
    with pytest.raises(UnrecordableError):
        backend.compiler.fold(trainer._step, state, over)
    assert_agree(backend.fold(trainer._step, state, over), Backend.fold(backend, trainer._step, state, over))
    assert backend.launches(trainer.run, state, over[:-1], None) == 41  # as every call is one again


# What is counted


def test_every_call_that_is_no_view_is_a_launch(backend):
    x = np.ones((4, 3))
    assert backend.launches(lambda x: xp.permute_dims(xp.reshape(x, (2, 6)).T[1:, None], (1, 0, 2)), x) == 0
    assert backend.launches(lambda x: xp.exp(x.T) + 1.0, x) == 2
    assert backend.launches(lambda pair: xp.matmul(pair["a"], pair["b"].T), {"a": x, "b": x}) == 1
    assert backend.launches(lambda x: xp.sort(xp.sum(x, axis=0)), x) == 2
    assert backend.launches(lambda x: x if float(xp.sum(x)) > 0 else -x, x) is None


def test_the_namespace_is_what_it_was_where_nothing_is_recorded():
    x = np.ones((2, 3), "float32")
    assert xp.__name__ == "numpy"
    assert vars(xp).keys() == vars(compat).keys()
    assert isinstance(xp.sum(x, axis=0), np.ndarray)
    assert xp.float32 is compat.float32
