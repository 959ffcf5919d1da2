"""The pure functions of `core.step` on one backend: placed, compiled, and folded over batches."""

from __future__ import annotations

from functools import partial
from typing import Any

from backends import Array, Backend
from core import network
from core.layout import Layout
from core.network import Layers, Weights
from core.optimizers import Optimizer
from core.step import Batch, Objective, State, Training, Values


def compiled_forward(layers: Layers, backend: Backend) -> Any:
    """Return `(weights, x) -> output`, compiled."""

    def forward(weights: Weights, x: Array) -> Array:
        return network.forward(layers, weights, x, xp=backend.xp)[0]

    return backend.compile(forward)


class Trainer:
    """Trains and evaluates one objective on one backend.

    `run(state, data, order)` takes a step on every row of `order`, an array of shape (steps, batch) of indices into the
    examples of `data`, all in one compiled call where the library compiles; it returns the new state and every example's
    loss and metrics, shape (steps, batch), as they were when its batch was reached. With None for it `data` are batches
    already, of shape (steps, batch, …). `evaluate(weights, data)` gives them for all of `data`, shape (n,).
    """

    def __init__(self, objective: Objective, optimizer: Optimizer, weights: Weights, backend: Backend) -> None:
        self.backend = backend
        parameters = tuple(w if layer.trainable else () for layer, w in zip(objective.layers, weights, strict=True))
        self.training = Training(objective, optimizer, Layout.of(parameters, backend.flat_parameters))
        self._step = self._take_step  # one object for the trainer's life, by which a fold may know the step again
        self.run = backend.compile(self._run)
        self.evaluate = backend.compile(partial(objective.evaluate, xp=backend.xp))

    def start(self, weights: Weights, dtype: str) -> State:
        """Return the state before the first step."""
        return self.training.start(weights, self.backend.asarray(0.0, dtype), xp=self.backend.xp)

    def weights(self, state: State) -> Weights:
        """Return the weights of a state, layer by layer."""
        return self.training.weights(state, xp=self.backend.xp)

    def _run(self, state: State, data: Batch, order: Array | None) -> tuple[State, Values]:
        state, alphas = self.training.plan(state, (data[0] if order is None else order).shape[0], xp=self.backend.xp)
        over = ((*data, alphas),) if order is None else ((order, alphas), data)
        state, (outputs,) = self.backend.fold(self._step, state, *over)
        return state, self._values(data[1], order, outputs)

    def _take_step(self, state: State, batch: tuple[Array, ...]) -> tuple[State, tuple[Array]]:
        *examples, alpha = batch
        state, output = self.training.step(state, tuple(examples), alpha, xp=self.backend.xp)
        return state, (output,)

    def _values(self, target: Array, order: Array | None, outputs: Array) -> Values:
        """Return the values of all steps at once: no step needs them, and each call would cost it something."""
        xp, (steps, size, units) = self.backend.xp, outputs.shape
        if order is None:
            target = xp.reshape(target, (steps * size, *target.shape[2:]))
        else:
            target = xp.take(target, xp.reshape(order, (-1,)), axis=0)
        values = self.training.objective.values(target, xp.reshape(outputs, (steps * size, units)), xp=xp)
        return tuple([xp.reshape(value, (steps, size)) for value in values])
