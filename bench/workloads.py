"""From a case to a function that can be called: its arguments, the outputs that the oracle checks, and its work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from backends import Array, Backend, Tree, host
from bench import hand_written
from bench.cases import EPOCH_ROWS, Case
from bench.networks import NETWORKS, SEED, Network
from core import losses
from core.layout import Layout
from core.loops import LADDER
from core.optimizers import Adam
from core.step import State, Training, objective
from core.training import Trainer

LEARNING_RATE = 0.01
ORACLE_ROWS = 64  # rows of a square product that the oracle computes
ADAM_FLOPS = 12  # for each parameter

ToHost = Callable[[Array], Any]


@dataclass(frozen=True)
class Problem:
    """A case on one backend: `function(*arrange(*inputs))` is what is timed, once the host's `inputs` are placed.

    `outputs` takes its result to the host as the list of arrays that `oracle()` gives in float64.
    """

    function: Callable[..., Tree]
    inputs: tuple[Tree, ...]
    outputs: Callable[[Tree, ToHost], list[Any]]
    oracle: Callable[[], list[Any]]
    flops: int
    bytes: int
    parameters: int
    arrange: Callable[..., tuple[Tree, ...]] = lambda *placed: placed


def build(case: Case, backend: Backend, examples: int) -> Problem:
    """Return the problem of a case with that many examples a call."""
    workloads = {"forward": _forward, "backward": _backward, "step": _step, "epoch": _epoch}
    if case.workload == "matmul":
        return _matmul(case, backend)
    return workloads[case.workload](case, NETWORKS[case.network], backend, examples)


def loop_products(case: Case) -> int:
    """Return how many products a case's Python loops make for one example; 0 where no loop goes inside an example."""
    if case.implementation not in ("multiplication", "unit"):
        return 0
    network = NETWORKS[case.network]
    forward, backward = network.multiplications
    if case.implementation == "unit":  # columns: of A forward, of dW and of dA backward
        forward, backward = sum(network.sizes[1:]), sum(network.sizes[1:]) + sum(network.sizes[1:-1])
    return forward if case.workload == "forward" else forward + backward


def _forward(case: Case, network: Network, backend: Backend, n: int) -> Problem:
    weights, (x, _) = network.weights(case.dtype), network.examples(n, case.dtype)
    if case.implementation == "hand_written":
        function: Callable[..., Tree] = partial(_course, network)
    else:
        rung, layers = _rung(case), network.layers()
        function = _compiled(lambda weights, x: rung.forward(layers, weights, x, xp=backend.xp), case, backend)
    return Problem(
        function=function,
        inputs=(weights, x),
        outputs=lambda result, to_host: [to_host(result)],
        oracle=lambda: hand_written.forward(_wide(weights), _wide(x), network.hidden, network.output)[-1:],
        flops=2 * n * network.multiplications[0],
        bytes=_bytes(case, network.parameters + n * (network.sizes[0] + network.sizes[-1])),
        parameters=network.parameters,
    )


def _backward(case: Case, network: Network, backend: Backend, n: int) -> Problem:
    weights, (x, y) = network.weights(case.dtype), network.examples(n, case.dtype)
    rung, goal = _rung(case), objective(network.layers(), losses.get(network.loss))

    def oracle() -> list[Any]:
        gradients, each = hand_written.gradients(_wide(weights), _wide(x), _wide(y), network.hidden, network.output)
        return [*_flat(gradients), each]

    return Problem(
        function=_compiled(lambda weights, x, y: rung.gradients(goal, weights, (x, y), xp=backend.xp), case, backend),
        inputs=(weights, x, y),
        outputs=lambda result, to_host: [to_host(array) for array in (*_flat(result[0]), result[1][0])],
        oracle=oracle,
        flops=2 * n * sum(network.multiplications),
        bytes=_bytes(case, 2 * network.parameters + n * (network.sizes[0] + 1)),
        parameters=network.parameters,
    )


def _step(case: Case, network: Network, backend: Backend, n: int) -> Problem:
    weights, (x, y) = network.weights(case.dtype), network.examples(n, case.dtype)
    rung, goal, xp = _rung(case), objective(network.layers(), losses.get(network.loss)), backend.xp
    # The step is the product's own, with the rung's way to the gradients in the place of the objective's.
    looped: Any = SimpleNamespace(layers=goal.layers, gradients=partial(rung.gradients, goal))
    layout = Layout.of(weights, backend.flat_parameters)
    training = Training(looped if rung.one_example_at_a_time else goal, Adam(LEARNING_RATE), layout)

    def outputs(result: tuple[State, Tree], to_host: ToHost) -> list[Any]:
        state, values = result
        return [to_host(array) for array in (*_flat(training.weights(state, xp=xp)), values[0])]

    def oracle() -> list[Any]:
        gradients, each = hand_written.gradients(_wide(weights), _wide(x), _wide(y), network.hidden, network.output)
        return [*_flat(hand_written.adam_first_step(_wide(weights), gradients, LEARNING_RATE)), each]

    return Problem(
        function=_compiled(lambda state, x, y: training.step(state, (x, y), xp=xp), case, backend),
        inputs=(weights, x, y),
        arrange=lambda weights, x, y: (training.start(weights, backend.asarray(0.0, case.dtype), xp=xp), x, y),
        outputs=outputs,
        oracle=oracle,
        flops=2 * n * sum(network.multiplications) + ADAM_FLOPS * network.parameters,
        bytes=_bytes(case, 6 * network.parameters + n * (network.sizes[0] + 1)),
        parameters=network.parameters,
    )


def _epoch(case: Case, network: Network, backend: Backend, n: int) -> Problem:
    """Return an epoch of the coffee script: 6,250 batches of 32 from 200,000 rows, in an order that stays."""
    weights, (x, y) = network.weights(case.dtype), network.examples(EPOCH_ROWS, case.dtype)
    order = host.generator(SEED + 2).permutation(EPOCH_ROWS).reshape(-1, case.batch_size)

    def oracle() -> list[Any]:
        trained, each = hand_written.coffee_epoch(_wide(weights), _wide(x), _wide(y), order, LEARNING_RATE)
        return [*_flat(trained), each]

    problem = partial(
        Problem,
        inputs=(weights, x, y, order),
        oracle=oracle,
        flops=2 * EPOCH_ROWS * sum(network.multiplications) + len(order) * ADAM_FLOPS * network.parameters,
        bytes=_bytes(case, EPOCH_ROWS * (network.sizes[0] + 1)),
        parameters=network.parameters,
    )
    if case.implementation == "hand_written":
        return problem(
            function=partial(hand_written.coffee_epoch, learning_rate=LEARNING_RATE),
            outputs=lambda result, to_host: [*_flat(result[0]), result[1]],
        )
    trainer = Trainer(objective(network.layers(), losses.get(network.loss)), Adam(LEARNING_RATE), weights, backend)

    def outputs(result: tuple[State, Tree], to_host: ToHost) -> list[Any]:
        state, values = result
        return [*map(to_host, _flat(trainer.weights(state))), to_host(values[0]).mean(axis=1)]

    return problem(
        function=trainer.run,
        arrange=lambda weights, x, y, order: (trainer.start(weights, case.dtype), (x, y), order),
        outputs=outputs,
    )


def _matmul(case: Case, backend: Backend) -> Problem:
    n = case.batch_size
    generator = host.generator(SEED)
    a, b = (generator.standard_normal((n, n)).astype(case.dtype) for _ in range(2))
    rows = np.unique(np.linspace(0, n - 1, min(n, ORACLE_ROWS)).astype(int))
    return Problem(
        function=_compiled(lambda a, b: backend.xp.matmul(a, b), case, backend),
        inputs=(a, b),
        outputs=lambda result, to_host: [to_host(result)[rows]],
        oracle=lambda: [a[rows].astype("float64") @ b.astype("float64")],
        flops=2 * n**3,
        bytes=_bytes(case, 3 * n * n),
        parameters=0,
    )


def _course(network: Network, weights: Tree, x: Any) -> Any:
    return hand_written.course_predict(weights, x, network.hidden, network.output)


def _rung(case: Case) -> Any:
    """Return the case's rung of the ladder; what is compiled is the last one."""
    return next((rung for rung in LADDER if rung.name == case.implementation), LADDER[-1])


def _compiled(function: Callable[..., Tree], case: Case, backend: Backend) -> Callable[..., Tree]:
    return backend.compile(function) if case.implementation == "compiled" else function


def _flat(weights: Tree) -> list[Array]:
    return [array for layer in weights for array in layer]


def _bytes(case: Case, numbers: int) -> int:
    return numbers * np.dtype(case.dtype).itemsize


def _wide(tree: Tree) -> Any:
    """Return host arrays in float64; class numbers stay whole."""
    if isinstance(tree, tuple):
        return tuple(_wide(branch) for branch in tree)
    return tree if tree.dtype.kind == "i" else tree.astype("float64")
