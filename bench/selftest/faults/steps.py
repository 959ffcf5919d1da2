"""Faults in how steps follow each other: one step's state, the batches of an epoch, the loops of the ladder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.networks import COFFEE, DIGITS, ZERO_OR_ONE
from bench.selftest.faults import EPOCH, STEPS, in_parts, on
from bench.workloads import EPOCH_RATE, Parts
from core import network
from core.step import State, Training
from core.training import Trainer


def with_training(parts: Parts, kind: type[Training]) -> Parts:
    """Return the parts with training of another kind, in a single step and in an epoch."""

    class WrongTrainer(Trainer):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.training = kind(self.training.objective, self.training.optimizer, self.training.layout)

    return replace(parts, training=kind, trainer=WrongTrainer)


@in_parts(*STEPS, EPOCH)
def step_counter_stands_still(parts: Parts) -> Parts:
    """The state that comes back has the old t, and every step of an epoch is the first."""

    class Wrong(Training):
        def plan(self, state: State, steps: int | None = None, *, xp: Any) -> Any:
            _, first = super().plan(state, xp=xp)
            return state, first if steps is None else xp.broadcast_to(first, (steps,))

    return with_training(parts, Wrong)


@in_parts(EPOCH)
def averages_begin_anew_at_every_step(parts: Parts) -> Parts:
    """The optimizer is made inside the loop."""

    class Wrong(Training):
        def step(self, state: State, batch: Any, alpha: Any, *, xp: Any) -> Any:
            zero = tuple(tuple(0.0 * slot for slot in slots) for slots in state.slots)
            return super().step(state._replace(slots=zero), batch, alpha, xp=xp)

    return with_training(parts, Wrong)


@in_parts(on("step", COFFEE), EPOCH)
def loss_after_the_update(parts: Parts) -> Parts:
    """The batch's loss is taken from the new weights."""

    class Wrong(Training):
        def step(self, state: State, batch: Any, alpha: Any, *, xp: Any) -> Any:
            after, _ = super().step(state, batch, alpha, xp=xp)
            return after, network.forward(self.objective.layers, self.weights(after, xp=xp), batch[0], xp=xp)[0]

    return with_training(parts, Wrong)


@in_parts(on("step", ZERO_OR_ONE), EPOCH)
def biases_move_by_their_gradient_alone(parts: Parts) -> Parts:
    """Only the kernels go through the optimizer."""

    class Wrong(Training):
        def step(self, state: State, batch: Any, alpha: Any, *, xp: Any) -> Any:
            after, output = super().step(state, batch, alpha, xp=xp)
            new, old = self.weights(after, xp=xp), self.weights(state, xp=xp)
            gradients, _ = self.objective.gradients(old, batch, xp=xp)
            mixed = tuple((w[0], o[1] - EPOCH_RATE * g[1]) for w, o, g in zip(new, old, gradients, strict=True))
            return after._replace(parameters=self.layout.pack(mixed, xp=xp)), output

    return with_training(parts, Wrong)


@in_parts(on("step", DIGITS), on("step", ZERO_OR_ONE))
def biases_never_move(parts: Parts) -> Parts:
    """Only the kernels were given to the optimizer."""

    class Wrong(Training):
        def step(self, state: State, batch: Any, alpha: Any, *, xp: Any) -> Any:
            after, output = super().step(state, batch, alpha, xp=xp)
            new, old = self.weights(after, xp=xp), self.weights(state, xp=xp)
            mixed = tuple((own[0], before[1]) for own, before in zip(new, old, strict=True))
            return after._replace(parameters=self.layout.pack(mixed, xp=xp)), output

    return with_training(parts, Wrong)


def with_order(parts: Parts, change: Callable[[Any, Any], Any]) -> Parts:
    """Return the parts with a trainer that goes through its batches in another order; `change(order, xp)` gives it."""

    class WrongTrainer(Trainer):
        def _run(self, state: State, data: Any, order: Any) -> Any:
            return super()._run(state, data, change(order, self.backend.xp))

    return replace(parts, trainer=WrongTrainer)


@in_parts(EPOCH)
def a_batch_is_used_twice(parts: Parts) -> Parts:
    """The second batch is the first again: one of 6,250."""
    return with_order(parts, lambda order, xp: xp.concat([order[:1, :], order[:1, :], order[2:, :]]))


@in_parts(EPOCH)
def the_last_batch_is_the_first_again(parts: Parts) -> Parts:
    """An index that wrapped."""
    return with_order(parts, lambda order, xp: xp.concat([order[:-1, :], order[:1, :]]))


@in_parts(EPOCH)
def the_examples_are_not_shuffled(parts: Parts) -> Parts:
    """shuffle=False."""
    return with_order(parts, lambda order, xp: xp.reshape(xp.sort(xp.reshape(order, (-1,))), order.shape))


@in_parts(EPOCH)
def two_batches_change_places(parts: Parts) -> Parts:
    """A prefetcher that hands out what is ready first: the last two batches come the other way round."""
    return with_order(parts, lambda order, xp: xp.concat([order[:-2, :], order[-1:, :], order[-2:-1, :]]))


@in_parts(EPOCH)
def targets_are_not_shuffled_with_their_inputs(parts: Parts) -> Parts:
    """x[order] beside y in the order of the file."""

    class WrongTrainer(Trainer):
        def _run(self, state: State, data: Any, order: Any) -> Any:
            xp, (x, y) = self.backend.xp, data
            return super()._run(state, (x, xp.take(y, xp.argsort(xp.reshape(order, (-1,))), axis=0)), order)

    return replace(parts, trainer=WrongTrainer)


# The ladder


@in_parts(on("forward", COFFEE, "multiplication", 4))
def sum_over_features_starts_at_the_second(parts: Parts) -> Parts:
    """range(1, n), with nothing before it."""

    def product(a: Any, b: Any, xp: Any) -> Any:
        return parts.rung.product(a[..., 1:], b[1:, :], xp)

    return replace(parts, rung=replace(parts.rung, product=product))


@in_parts(on("forward", COFFEE, "unit", 4), on("backward", COFFEE, "unit", 4))
def columns_counted_from_one(parts: Parts) -> Parts:
    """W[:, j + 1] for W[:, j], and an index past the end that wraps."""

    def product(a: Any, b: Any, xp: Any) -> Any:
        return parts.rung.product(a, xp.roll(b, -1, axis=1), xp)

    return replace(parts, rung=replace(parts.rung, product=product))


@in_parts(on("backward", COFFEE, "example", 4), on("step", COFFEE, "example", 4))
def gradients_of_examples_summed(parts: Parts) -> Parts:
    """One example at a time, and no mean at the end."""

    class Wrong(type(parts.rung)):  # type: ignore[misc]
        def gradients(self, objective: Any, weights: Any, batch: Any, *, xp: Any) -> Any:
            gradients, output = super().gradients(objective, weights, batch, xp=xp)
            return tuple(tuple(g * batch[0].shape[0] for g in layer) for layer in gradients), output

    return replace(parts, rung=Wrong(**vars(parts.rung)))
