"""The network computes what plain NumPy computes: the gate's cases, small, in float32 and float64."""

from __future__ import annotations

import numpy as np

import backends
from backends import Backend
from bench import gate, workloads
from bench.cases import Case
from bench.conform.requirement import NotTriedError, require, require_same, requirement
from bench.networks import COFFEE, DIGITS
from core import Dense, Normalization, Sequential, config, datasets, utils
from core.optimizers import Adam

DTYPES = ("float32", "float64")
EXAMPLES = 8
EPOCH_ROWS = 640  # 20 steps of 32
SEED = 7


@requirement
def forward_propagation_agrees(backend: Backend) -> None:
    """The outputs of two networks are the oracle's, whole batches at once and by the ladder's loops."""
    _examine(backend, "forward")
    for rung in ("unit", "example"):
        _pass(backend, Case("forward", COFFEE.name, rung, 2))


@requirement
def gradients_agree(backend: Backend) -> None:
    """All gradients and every example's loss are the oracle's."""
    _examine(backend, "backward")


@requirement
def optimizer_steps_agree(backend: Backend) -> None:
    """Weights, their change and the optimizer's averages after a step are the oracle's, by Adam and by Nesterov's momentum."""
    _examine(backend, "step")
    _pass(backend, Case("step", COFFEE.name, "matmul", EXAMPLES, optimizer="nesterov"))


@requirement
def compiled_cases_agree(backend: Backend) -> None:
    """Outputs, gradients and a step are the oracle's when they are compiled."""
    if not backend.compiles:
        raise NotTriedError(f"{backend.name} has no compiler")
    for workload in ("forward", "backward", "step"):
        _pass(backend, Case(workload, COFFEE.name, "compiled", EXAMPLES))


@requirement
def an_epoch_agrees(backend: Backend) -> None:
    """Weights and losses after an epoch that is folded are those of the oracle's loop."""
    for dtype in DTYPES:
        _pass(backend, Case("epoch", COFFEE.name, "fold", 32, dtype), EPOCH_ROWS)


@requirement
def one_seed_gives_one_curve(backend: Backend) -> None:
    """`fit` from one seed gives NumPy's losses and weights, the smaller last batch of each epoch included, and again the same."""
    reference = curve(backends.get("numpy"), "float64")
    for dtype in DTYPES:
        found = curve(backend, dtype)
        gate.check(found, reference, gate.TOLERANCE[dtype])
        require(all(w.dtype == dtype for w in found[1:]), f"weights of {dtype} are of {found[1].dtype}")
    for again, array in zip(curve(backend, dtype), found, strict=True):
        require_same("an array of the second time", again, array)


def curve(backend: Backend, dtype: str) -> list[np.ndarray]:
    """Return the losses of four epochs of 200 examples in batches of 32, and the weights that they lead to."""
    before = config.floatx()
    config.set_floatx(dtype)
    try:
        utils.set_random_seed(SEED)
        x, y = datasets.coffee()
        norm = Normalization()
        norm.adapt(x)
        model = Sequential((norm, Dense(3, "sigmoid"), Dense(1, "sigmoid")), backend=backend)
        model.compile(Adam(0.01), "binary_crossentropy")
        losses = model.fit(x, y, epochs=4, verbose=0).history["loss"]
        return [np.array(losses), *model.get_weights()]
    finally:
        config.set_floatx(before)


def _examine(backend: Backend, workload: str) -> None:
    for network, dtype in ((COFFEE, "float64"), (DIGITS, "float32")):
        _pass(backend, Case(workload, network.name, "matmul", EXAMPLES, dtype))


def _pass(backend: Backend, case: Case, epoch_rows: int | None = None) -> None:
    """Put a case through the gate."""
    problem = workloads.build(case, backend, case.batch_size, epoch_rows=epoch_rows)
    try:
        gate.examine(case, problem, backend)
    except gate.MismatchError as mismatch:
        raise gate.MismatchError(f"{case.id} in {case.dtype}: {mismatch}") from mismatch
