"""Faults in the loss, and in the mean of its gradients over a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.networks import COFFEE, DIGITS, ZERO_OR_ONE
from bench.selftest.faults import NESTEROV, STEPS, in_parts, on
from bench.workloads import Parts
from core import network
from core.activations import linear, sigmoid
from core.losses import BinaryCrossentropy, SparseCategoricalCrossentropy
from core.step import Objective

# The loss of an example


@in_parts(on("backward", ZERO_OR_ONE), on("step", COFFEE))
def loss_goes_back_through_its_sigmoid_twice(parts: Parts) -> Parts:
    """(p - y) p (1 - p): p - y has the sigmoid's slope in it already."""

    class Wrong(BinaryCrossentropy):
        def backward(self, target: Any, prediction: Any, *, xp: Any) -> Any:
            gradient = super().backward(target, prediction, xp=xp)
            return sigmoid.backward(sigmoid.forward(prediction, xp), gradient, xp)

    return replace(parts, loss=Wrong())


@in_parts(on("backward", COFFEE), on("backward", DIGITS), on("step", DIGITS))
def probabilities_taken_for_logits(parts: Parts) -> Parts:
    """from_logits=True behind an activation: the sigmoid or softmax is there twice."""

    def objective(layers: Any, loss: Any) -> Objective:
        return Objective(layers, replace(loss, from_logits=True), linear, ())

    return replace(parts, objective=objective)


@in_parts(on("backward", ZERO_OR_ONE))
def labels_are_smoothed(parts: Parts) -> Parts:
    """label_smoothing=0.1 was left from an experiment."""

    class Wrong(BinaryCrossentropy):
        def forward(self, target: Any, prediction: Any, *, xp: Any) -> Any:
            return super().forward(0.9 * target + 0.05, prediction, xp=xp)

        def backward(self, target: Any, prediction: Any, *, xp: Any) -> Any:
            return super().backward(0.9 * target + 0.05, prediction, xp=xp)

    return replace(parts, loss=Wrong())


@in_parts(on("backward", DIGITS))
def classes_counted_from_one(parts: Parts) -> Parts:
    """The labels say 1 to 10, the one-hot rows begin at 0."""

    class Wrong(SparseCategoricalCrossentropy):
        def forward(self, target: Any, prediction: Any, *, xp: Any) -> Any:
            return super().forward(xp.remainder(target + 1, prediction.shape[1]), prediction, xp=xp)

        def backward(self, target: Any, prediction: Any, *, xp: Any) -> Any:
            return super().backward(xp.remainder(target + 1, prediction.shape[1]), prediction, xp=xp)

    return replace(parts, loss=Wrong())


@in_parts(on("backward", COFFEE))
def loss_of_a_no_is_forgotten(parts: Parts) -> Parts:
    """-y log p without (1 - y) log(1 - p), under a gradient that is right."""

    class Wrong(BinaryCrossentropy):
        def forward(self, target: Any, prediction: Any, *, xp: Any) -> Any:
            return super().forward(target, prediction, xp=xp) * target[:, 0]

    return replace(parts, loss=Wrong())


@in_parts(on("backward", DIGITS))
def every_example_has_the_mean_loss(parts: Parts) -> Parts:
    """The loss was averaged before it was handed out; the epoch's mean would not show it."""

    class Wrong(SparseCategoricalCrossentropy):
        def forward(self, target: Any, prediction: Any, *, xp: Any) -> Any:
            losses = super().forward(target, prediction, xp=xp)
            return 0.0 * losses + xp.mean(losses)

    return replace(parts, loss=Wrong())


# The mean over a batch


def with_objective(parts: Parts, kind: type[Objective]) -> Parts:
    """Return the parts with an objective of another kind."""
    return replace(parts, objective=lambda layers, loss: kind(**vars(parts.objective(layers, loss))))


def scaled(factor: Callable[[int], float]) -> type[Objective]:
    """Return an objective whose gradients are too large by a factor, a function of the batch's size."""

    class Scaled(Objective):
        def gradients(self, weights: Any, batch: Any, *, xp: Any) -> Any:
            gradients, output = super().gradients(weights, batch, xp=xp)
            return tuple(tuple(g * factor(batch[0].shape[0]) for g in layer) for layer in gradients), output

    return Scaled


def of_examples(chosen: Callable[[int], slice]) -> type[Objective]:
    """Return an objective whose gradients are the mean over some of a batch's examples only."""

    class Partial(Objective):
        def gradients(self, weights: Any, batch: Any, *, xp: Any) -> Any:
            some = chosen(batch[0].shape[0])
            gradients, _ = super().gradients(weights, tuple(array[some, ...] for array in batch), xp=xp)
            return gradients, network.forward(self.layers, weights, batch[0], xp=xp)[0]

    return Partial


@in_parts(on("backward", DIGITS), on("step", DIGITS), on("step", COFFEE), NESTEROV[0])
def missing_one_over_n(parts: Parts) -> Parts:
    """The loss is a sum. Adam's first step would forgive it."""
    return with_objective(parts, scaled(float))


@in_parts(on("backward", ZERO_OR_ONE), *STEPS)
def divided_by_one_example_too_few(parts: Parts) -> Parts:
    """n - 1 for n, as in a sample's variance: 0.25 % at 400 examples."""
    return with_objective(parts, scaled(lambda n: n / (n - 1)))


@in_parts(on("backward", COFFEE), on("step", ZERO_OR_ONE))
def sign_of_the_gradient(parts: Parts) -> Parts:
    """y - p for p - y."""
    return with_objective(parts, scaled(lambda n: -1.0))


@in_parts(on("backward", DIGITS), on("step", ZERO_OR_ONE))
def last_incomplete_block_of_a_batch_left_out(parts: Parts) -> Parts:
    """The batch is worked off 32 at a time; the 16 examples that remain are not."""
    return with_objective(parts, of_examples(lambda n: slice(0, n - n % 32)))


@in_parts(on("backward", DIGITS), on("step", COFFEE))
def one_example_of_the_batch_left_out(parts: Parts) -> Parts:
    """range(n - 1): one of 400 examples teaches nothing."""
    return with_objective(parts, of_examples(lambda n: slice(0, n - 1)))
