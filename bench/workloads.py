"""From a case to a function that can be called: its arguments, the outputs that the oracle checks, and its work."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from backends import Array, Backend, Tree, host
from backends.base import tree_map
from bench import hand_written
from bench.cases import Case
from bench.networks import COFFEE, FACE, NETWORKS, SEED, Network
from bench.peers import Peer
from core import losses
from core.layers import Input
from core.layout import Layout
from core.loops import LADDER, Rung
from core.losses import Loss
from core.network import Layers
from core.optimizers import SGD, Adam, Optimizer
from core.sequential import Sequential
from core.step import Objective, State, Training, objective
from core.training import Trainer

EPOCH_RATE = 0.01  # of the course's script
EPOCH_RATES = {COFFEE.name: EPOCH_RATE, FACE.name: 1e-6}
WIDE_RATE = 1e-4
"""At 0.001 the wide network's weights would tell nothing: in 100 steps float32's rounding grows to 0.3 of their size. A step of
Adam moves each of a million weights of a unit by its rate, so that the face's must be smaller still.
"""
HELD_NUMBERS = 1 << 27  # of an epoch's inputs; where they would be more, it goes through fewer examples again and again
CACHED_NUMBERS = 1 << 23  # what of a step is used twice and is no more than that stays in a cache
STEP_RATE = 0.05  # so large that what a step changes stands out of the weights' own rounding
MOMENTUM = 0.9
STEPS_TAKEN = 20  # before the step that is measured: so few that a counter which stands still shows
AVERAGE = 3e-4  # about how large a gradient was in those steps: so small that ε shows beside it
UPDATE_FLOPS = {"adam": 12, "nesterov": 6}  # for each parameter
GRAINS = {"float64": (512, 4095), "float32": (512, 4095), "bfloat16": (4, 15)}
"""By dtype: into how many parts a unit of P and of Q is cut, and how many parts their largest number has."""

OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "adam": Adam,
    "nesterov": partial(SGD, momentum=MOMENTUM, nesterov=True),
}
UPDATE_ORACLES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "adam": partial(hand_written.adam_step, t=STEPS_TAKEN + 1, learning_rate=STEP_RATE),
    "nesterov": partial(hand_written.nesterov_step, learning_rate=STEP_RATE, momentum=MOMENTUM),
}

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
    flops: int | None
    bytes: int | None
    parameters: int
    tolerance: float | None = None
    """The largest relative error that passes, where it is not that of the dtype."""
    arrange: Callable[..., tuple[Tree, ...]] = lambda *placed: placed

    def arguments(self, backend: Backend) -> tuple[Tree, ...]:
        """Return what `function` takes, on the device."""
        return self.arrange(*tree_map(backend.asarray, self.inputs))

    def on_other_numbers(self) -> Problem:
        """Return the problem with inputs that are a little smaller: what would keep its first result shows."""
        return replace(self, inputs=tree_map(_a_little_smaller, self.inputs))


def _a_little_smaller(x: Any) -> Any:
    """Return an array whose numbers, but for whole ones, are by 1/128 nearer to zero: few functions are not defined there."""
    return (x * (1 - 2**-7)).astype(x.dtype) if x.dtype.kind in "fcV" else x.copy()


@dataclass(frozen=True)
class Parts:
    """What of `core` a case's program is put together from; the faults of `bench.selftest.sabotage` are wrong parts."""

    layers: Layers
    loss: Loss
    optimizer: Optimizer
    rung: Rung
    objective: Callable[[Layers, Loss], Objective] = objective
    training: type[Training] = Training
    trainer: type[Trainer] = Trainer

    @classmethod
    def of(cls, case: Case) -> Parts:
        """Return the parts of a case; what is compiled or folded is the ladder's last rung."""
        network = NETWORKS[case.network]
        rung = next((rung for rung in LADDER if rung.name == case.implementation), LADDER[-1])
        optimizer = OPTIMIZERS[case.optimizer](epoch_rate(case.network) if case.workload == "epoch" else STEP_RATE)
        return cls(network.layers(), losses.get(network.loss), optimizer, rung)

    @property
    def goal(self) -> Objective:
        """What training lowers."""
        return self.objective(self.layers, self.loss)


def build(
    case: Case,
    backend: Backend,
    examples: int,
    *,
    alter: Callable[[Parts], Parts] = lambda parts: parts,
    epoch_rows: int | None = None,
) -> Problem:
    """Return the problem of a case with that many examples a call, its parts altered.

    An epoch goes through `epoch_rows` of them, or as many as the case says. Raises BackendError where a peer has nothing for
    the case.
    """
    if case.workload == "matmul":
        return _matmul(case, backend)
    network = NETWORKS[case.network]
    if case.workload in ("predict", "row"):
        return _prediction(case, network, backend, examples)
    parts = alter(Parts.of(case))
    if case.workload == "epoch":
        return _epoch(case, network, backend, epoch_rows or case.examples(case.batch_size), parts)
    workloads = {"forward": _forward, "backward": _backward, "step": _step}
    return workloads[case.workload](case, network, backend, examples, parts)


def loop_products(case: Case) -> int:
    """Return how many products a case's Python loops make for one example; 0 where no loop goes inside an example."""
    if case.implementation not in ("multiplication", "unit"):
        return 0
    network = NETWORKS[case.network]
    forward, backward = network.multiplications
    if case.implementation == "unit":  # columns: of A forward, of dW and of dA backward
        forward, backward = sum(network.sizes[1:]), sum(network.sizes[1:]) + sum(network.sizes[1:-1])
    return forward if case.workload == "forward" else forward + backward


def _forward(case: Case, network: Network, backend: Backend, n: int, parts: Parts) -> Problem:
    weights, (x, _) = network.weights(case.dtype), network.examples(n, case.dtype)
    if case.implementation == "hand_written":
        function: Callable[..., Tree] = partial(_course, network)
    else:
        layers, xp = parts.layers, backend.xp
        function = _compiled(lambda weights, x: parts.rung.forward(layers, weights, x, xp=xp), case, backend)
    return Problem(
        function=function,
        inputs=(weights, x),
        outputs=lambda result, to_host: [to_host(result)],
        oracle=lambda: hand_written.forward(_wide(weights), _wide(x), network.hidden, network.output)[-1:],
        flops=2 * n * network.multiplications[0],
        bytes=_bytes(case, network.parameters + n * (network.sizes[0] + network.sizes[-1])),
        parameters=network.parameters,
    )


def _backward(case: Case, network: Network, backend: Backend, n: int, parts: Parts) -> Problem:
    weights, (x, y) = network.weights(case.dtype), network.examples(n, case.dtype)
    rung, goal, xp = parts.rung, parts.goal, backend.xp

    def backward(weights: Tree, x: Array, y: Array) -> tuple[Tree, Tree]:
        gradients, output = rung.gradients(goal, weights, (x, y), xp=xp)
        return gradients, goal.values(y, output, xp=xp)

    def oracle() -> list[Any]:
        gradients, each = hand_written.gradients(_wide(weights), _wide(x), _wide(y), network.hidden, network.output)
        return [*_flat(gradients), each]

    return Problem(
        function=_compiled(backward, case, backend),
        inputs=(weights, x, y),
        outputs=lambda result, to_host: [to_host(array) for array in (*_flat(result[0]), result[1][0])],
        oracle=oracle,
        flops=2 * n * sum(network.multiplications),
        bytes=_bytes(case, 2 * network.parameters + n * (network.sizes[0] + 1)),
        parameters=network.parameters,
    )


def _step(case: Case, network: Network, backend: Backend, n: int, parts: Parts) -> Problem:
    """Return a step in the middle of training: the first one, from zero averages, hardly feels its gradients' scale.

    In bfloat16 that is mixed precision: products and activations are, weights, averages and update are float32
    (Micikevicius et al., "Mixed Precision Training", ICLR 2018). In bfloat16 Adam's 0.999 would be 1.
    """
    kept = case.result_dtype
    weights, (x, y) = network.weights(kept), network.examples(n, case.dtype)
    averages = _averages(network, parts.optimizer.slot_count, kept)
    rung, goal, xp = parts.rung, parts.goal, backend.xp
    # The step is the product's own, with the rung's way to the gradients in the place of the objective's.
    gradients: Any = partial(rung.gradients, goal)
    gradients = gradients if kept == case.dtype else partial(_in_dtype_of_batch, gradients)
    other: Any = SimpleNamespace(layers=goal.layers, gradients=gradients)
    layout = Layout.of(weights, backend.flat_parameters)
    usual = kept == case.dtype and not rung.one_example_at_a_time
    training = parts.training(goal if usual else other, parts.optimizer, layout)

    def step(state: State, x: Array, y: Array) -> tuple[State, Tree]:
        state, alpha = training.plan(state, xp=xp)
        state, output = training.step(state, (x, y), alpha, xp=xp)
        return state, goal.values(y, output, xp=xp)

    def arrange(weights: Tree, x: Array, y: Array) -> tuple[Tree, ...]:
        state = training.start(weights, backend.asarray(float(STEPS_TAKEN), kept), xp=xp)
        slots = [layout.pack(tree_map(backend.asarray, slot), xp=xp) for slot in averages]
        return state._replace(slots=tuple(zip(*slots, strict=True))), x, y

    def outputs(result: tuple[State, Tree], to_host: ToHost) -> list[Any]:
        state, values = result
        after = [to_host(array) for array in _flat(training.weights(state, xp=xp))]
        slots = [layout.unpack(slot, xp=xp) for slot in zip(*state.slots, strict=True)]
        kept = [to_host(array) for slot in slots for array in _flat(slot)]
        return [*after, *_less(after, _flat(weights)), *kept, to_host(state.t), to_host(values[0])]

    def oracle() -> list[Any]:
        before = _wide(weights)
        gradients, each = hand_written.gradients(before, _wide(x), _wide(y), network.hidden, network.output)
        after, *slots = UPDATE_ORACLES[case.optimizer](before, gradients, *_wide(averages))
        kept = [array for slot in slots for array in _flat(slot)]
        return [*_flat(after), *_less(_flat(after), _flat(before)), *kept, np.asarray(STEPS_TAKEN + 1.0), each]

    return Problem(
        function=_compiled(step, case, backend),
        inputs=(weights, x, y),
        arrange=arrange,
        outputs=outputs,
        oracle=oracle,
        flops=2 * n * sum(network.multiplications) + UPDATE_FLOPS[case.optimizer] * network.parameters,
        bytes=2 * (1 + len(averages)) * network.parameters * host.itemsize(kept)
        + _bytes(case, n * (network.sizes[0] + 1)),
        parameters=network.parameters,
    )


def _epoch(case: Case, network: Network, backend: Backend, n: int, parts: Parts) -> Problem:
    """Return an epoch of n examples, in an order that stays: for the coffee script, 6,250 batches of 32 from 200,000 rows.

    A peer has its rows in that order, and tells the mean loss alone.
    """
    held = min(n, HELD_NUMBERS // network.sizes[0] // case.batch_size * case.batch_size)
    weights, (x, y) = network.weights(case.dtype), network.examples(held, case.dtype)
    generator = host.generator(SEED + 2)
    order = np.concatenate([generator.permutation(held) for _ in range(n // held)]).reshape(-1, case.batch_size)
    rate = epoch_rate(network.name)
    by_hand = partial(hand_written.epoch, hidden=network.hidden, output=network.output, learning_rate=rate)

    def oracle() -> list[Any]:
        trained, losses = by_hand(_wide(weights), _wide(x), _wide(y), order, guard=0.0)
        return [*_flat(trained), losses.mean() if isinstance(backend, Peer) else losses]

    problem = partial(
        Problem,
        oracle=oracle,
        flops=2 * n * sum(network.multiplications) + len(order) * UPDATE_FLOPS[case.optimizer] * network.parameters,
        bytes=_bytes(case, _moved_by_an_epoch(network, n, len(order), parts.optimizer)),
        parameters=network.parameters,
    )
    if isinstance(backend, Peer):
        return problem(
            function=backend.fit(network, case.batch_size, rate),
            inputs=(weights, x[order.ravel()], y[order.ravel()]),
            outputs=lambda result, to_host: [*map(to_host, _flat(result[0])), np.asarray(result[1], case.dtype)],
        )
    problem = partial(problem, inputs=(weights, x, y, order))
    if case.implementation == "hand_written":
        return problem(function=by_hand, outputs=lambda result, to_host: [*_flat(result[0]), result[1]])
    trainer = parts.trainer(parts.goal, parts.optimizer, weights, backend)

    def outputs(result: tuple[State, Tree], to_host: ToHost) -> list[Any]:
        state, values = result
        return [*map(to_host, _flat(trainer.weights(state))), to_host(values[0]).mean(axis=1)]

    return problem(
        function=trainer.run,
        arrange=lambda weights, x, y, order: (trainer.start(weights, case.dtype), (x, y), order),
        outputs=outputs,
    )


def epoch_rate(network: str) -> float:
    """Return the learning rate of a network's epochs."""
    return EPOCH_RATES.get(network, WIDE_RATE)


def _moved_by_an_epoch(network: Network, n: int, steps: int, optimizer: Optimizer) -> int:
    """Return the fewest numbers that must move: every example once, and what no cache keeps, each time that it is used.

    A batch is used forward and backward; weights forward, and with their averages in the update, where they are written too.
    """
    state = (1 + optimizer.slot_count) * network.parameters
    moved = n * (network.sizes[0] + 1)
    if n // steps * network.sizes[0] > CACHED_NUMBERS:
        moved += n * network.sizes[0]
    if state > CACHED_NUMBERS:
        moved += steps * (network.parameters + 2 * state)
    return moved


def _prediction(case: Case, network: Network, backend: Backend, n: int) -> Problem:
    """Return predictions of a trained model from host to host, as a user asks for them: what moves, moves inside the call."""
    weights, (x, _) = network.weights(case.dtype), network.examples(n, case.dtype)
    if isinstance(backend, Peer):
        function: Callable[..., Tree] = {"predict": backend.predict, "call": backend.call}[case.implementation](
            network, weights
        )
    elif case.implementation == "hand_written":
        function = partial(_by_hand, network, weights)
    else:
        model = Sequential([Input((network.sizes[0],)), *network.layers()], backend=backend)
        model.set_weights(_flat(weights))
        function = model.predict if case.implementation == "predict" else model
    return Problem(
        function=function,
        inputs=(x,),
        arrange=lambda placed: (backend.to_numpy(placed),),
        outputs=lambda result, to_host: [result],
        oracle=lambda: hand_written.forward(_wide(weights), _wide(x), network.hidden, network.output)[-1:],
        flops=2 * n * network.multiplications[0],
        bytes=_bytes(case, network.parameters + n * (network.sizes[0] + network.sizes[-1])),
        parameters=network.parameters,
    )


def _matmul(case: Case, backend: Backend) -> Problem:
    """Return a product of n by n numbers, A(P⊗Q), whose oracle is cheap and its own: row by row of A, as a matrix, PᵀAQ.

    P and Q have so few digits that the numbers of P⊗Q are exact in the case's dtype.
    """
    n, dtype = case.batch_size, host.numpy_dtype(case.dtype)
    grain, most = GRAINS[case.dtype]
    k = max(k for k in range(1, math.isqrt(n) + 1) if n % k == 0)
    generator = host.generator(SEED)
    a = generator.standard_normal((n, n), dtype="float32").astype(dtype)
    p, q = (np.rint(grain * generator.standard_normal((m, m))).clip(-most, most) / grain for m in (k, n // k))

    def oracle() -> list[Any]:
        return [(p.T @ _wide(a).reshape(n, len(p), len(q)) @ q).reshape(n, n)]

    return Problem(
        function=_compiled(lambda a, b: backend.xp.matmul(a, b), case, backend),
        inputs=(a, np.kron(p, q).astype(dtype)),
        outputs=lambda result, to_host: [to_host(result)],
        oracle=oracle,
        flops=2 * n**3,
        bytes=_bytes(case, 3 * n * n),
        parameters=0,
    )


def _course(network: Network, weights: Tree, x: Any) -> Any:
    return hand_written.course_predict(weights, x, network.hidden, network.output)


def _by_hand(network: Network, weights: Tree, x: Any) -> Any:
    return hand_written.forward(weights, x, network.hidden, network.output)[-1]


def _averages(network: Network, slots: int, dtype: str) -> tuple[Tree, ...]:
    """Return what an optimizer keeps of earlier steps: means of gradients, and where there are two slots, of their squares."""
    generator = host.generator(SEED + 3)

    def draw(slot: int, shape: tuple[int, ...]) -> Any:
        mean = AVERAGE * generator.standard_normal(shape)
        square = AVERAGE**2 * generator.uniform(0.5, 1.5, shape) ** 2
        return (mean, square)[slot].astype(dtype)

    return tuple(tuple((draw(slot, (i, o)), draw(slot, (o,))) for i, o in network.kernels) for slot in range(slots))


def _compiled(function: Callable[..., Tree], case: Case, backend: Backend) -> Callable[..., Tree]:
    return backend.compile(function) if case.implementation == "compiled" else function


def _in_dtype_of_batch(gradients: Any, weights: Tree, batch: tuple[Array, ...], *, xp: Any) -> tuple[Tree, Tree]:
    """Return what `gradients` makes of weights in the dtype of the batch, in that of the weights."""
    kept, dtype = weights[0][0].dtype, batch[0].dtype
    found = gradients(tree_map(lambda w: xp.astype(w, dtype), weights), batch, xp=xp)
    return tree_map(lambda array: xp.astype(array, kept), found)


def _flat(weights: Tree) -> list[Array]:
    return [array for layer in weights for array in layer]


def _less(after: list[Any], before: list[Any]) -> list[Any]:
    """Return what an update changed: beside the weights it is small, and so a small fault in it is too."""
    return [new - old for new, old in zip(after, before, strict=True)]


def _bytes(case: Case, numbers: int) -> int:
    return numbers * host.itemsize(case.dtype)


def _wide(tree: Tree) -> Any:
    """Return host arrays in float64; class numbers stay whole."""
    return tree_map(lambda array: array if array.dtype.kind == "i" else array.astype("float64"), tree)
