"""One training step as a pure function: forward propagation, backpropagation, update."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from core import activations, network
from core.activations import ActivationFunction
from core.layout import Layout, Packed
from core.losses import Loss
from core.metrics import Metric
from core.network import Layers, Weights
from core.optimizers import Optimizer

Array = Any
Namespace = Any
Batch = tuple[Array, ...]  # inputs, targets and, where the examples have them, their weights
Values = tuple[Array, ...]  # the loss of every example, then each metric's value for it: arrays of shape (n,)


@dataclass(frozen=True)
class Objective:
    """A network and what it is judged by: all that stays while its weights change. Made by `objective`."""

    layers: Layers
    loss: Loss
    link: ActivationFunction
    metrics: tuple[Metric, ...]

    def gradients(self, weights: Weights, batch: Batch, *, xp: Namespace) -> tuple[Weights, Array]:
        """Return the gradient of the batch's mean loss for every trainable weight, and the network's output.

        Sample weights multiply the losses; as in Keras, the sum is still divided by the number of examples.
        """
        output, residuals = network.forward(self.layers, weights, batch[0], xp=xp)
        dy = self.loss.backward(batch[1], output, xp=xp) * (1.0 / batch[0].shape[0])
        if len(batch) == 3:
            dy = dy * batch[2][:, None]
        return network.backward(self.layers, weights, residuals, dy, xp=xp), output

    def values(self, target: Array, output: Array, *, xp: Namespace) -> Values:
        """Return every example's loss and metrics, without sample weights, from the network's output, shape (n, units)."""
        losses = self.loss.forward(target, output, xp=xp)
        if not self.metrics:
            return (losses,)
        prediction = self.link.forward(output, xp)
        return (losses, *(metric(target, prediction, xp=xp) for metric in self.metrics))

    def evaluate(self, weights: Weights, batch: Batch, *, xp: Namespace) -> Values:
        """Return every example's loss and metrics, without sample weights."""
        output, _ = network.forward(self.layers, weights, batch[0], xp=xp)
        return self.values(batch[1], output, xp=xp)


def objective(layers: Layers, loss: Loss, metrics: tuple[Metric, ...] = ()) -> Objective:
    """Return the objective, with the last activation moved into the loss where the loss can take it over.

    A sigmoid before a binary cross-entropy, a softmax before a categorical one: the gradient of the two together is p - y,
    which still learns where the clipped probability no longer does. Metrics go on seeing the probability.
    """
    last = layers[-1]
    if loss.link is None or getattr(last, "g", None) != loss.link or getattr(loss, "from_logits", False):
        return Objective(layers, loss, activations.linear, metrics)
    logits = replace(last, activation=activations.linear)  # type: ignore[call-arg]
    return Objective((*layers[:-1], logits), replace(loss, from_logits=True), loss.link, metrics)  # type: ignore[call-arg]


class State(NamedTuple):
    """All that training changes, beside the weights that it leaves alone."""

    parameters: Packed
    slots: tuple[tuple[Array, ...], ...]  # for each packed array, what the optimizer keeps
    t: Array  # the number of steps taken or planned, 0-d and of the parameters' dtype, as the formulas take it
    fixed: Weights


@dataclass(frozen=True)
class Training:
    """An objective and the optimizer that lowers it."""

    objective: Objective
    optimizer: Optimizer
    layout: Layout

    def start(self, weights: Weights, zero: Array, *, xp: Namespace) -> State:
        """Return the state before the first step; `zero` is a 0-d array where and as wide as the weights are."""
        trainable = [layer.trainable for layer in self.objective.layers]
        parameters = self.layout.pack(tuple(w if t else () for w, t in zip(weights, trainable, strict=True)), xp=xp)
        fixed = tuple(() if t else w for w, t in zip(weights, trainable, strict=True))
        slots = tuple(tuple(xp.zeros_like(p) for _ in range(self.optimizer.slot_count)) for p in parameters)
        return State(parameters, slots, zero, fixed)

    def weights(self, state: State, *, xp: Namespace) -> Weights:
        """Return every layer's weights."""
        trained = self.layout.unpack(state.parameters, xp=xp)
        return tuple([own or fixed for own, fixed in zip(trained, state.fixed, strict=True)])

    def plan(self, state: State, steps: int | None = None, *, xp: Namespace) -> tuple[State, Array]:
        """Return the state with so many steps more on its counter, and the sizes of these steps, shape (steps,).

        Without a number it is one step, and its size, 0-d.
        """
        if steps is None:
            t = state.t + 1.0
            return state._replace(t=t), self.optimizer.step_sizes(t, xp=xp)
        counted = xp.cumulative_sum(xp.ones_like(xp.broadcast_to(state.t, (steps,))))
        return state._replace(t=state.t + float(steps)), self.optimizer.step_sizes(state.t + counted, xp=xp)

    def step(self, state: State, batch: Batch, alpha: Array, *, xp: Namespace) -> tuple[State, Array]:
        """Return the state after a step of size `alpha`, which is planned, and the network's output before it.

        Of the output the objective has its values.
        """
        gradients, output = self.objective.gradients(self.weights(state, xp=xp), batch, xp=xp)
        updated = [
            self.optimizer.update(w, g, slots, alpha, xp=xp)
            for w, g, slots in zip(state.parameters, self.layout.pack(gradients, xp=xp), state.slots, strict=True)
        ]
        parameters, slots = zip(*updated, strict=True) if updated else ((), ())
        return State(parameters, slots, state.t, state.fixed), output
