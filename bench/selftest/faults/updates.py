"""Faults in the optimizer's update."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.selftest.faults import EPOCH, NESTEROV, STEPS, in_parts
from bench.workloads import MOMENTUM, STEP_RATE, Parts
from core.optimizers import SGD, Adam


class AdamVariant(Adam):
    """Adam with each formula in a method of its own, so that a fault changes one."""

    def square(self, g: Any) -> Any:
        return g * g

    def denominator(self, v: Any, xp: Any) -> Any:
        return xp.sqrt(v) + self.epsilon

    def update(self, w: Any, g: Any, slots: Any, alpha: Any, *, xp: Any) -> Any:
        m, v = slots
        m = m + (g - m) * (1.0 - self.beta_1)
        v = v + (self.square(g) - v) * (1.0 - self.beta_2)
        return w - alpha * m / self.denominator(v, xp), (m, v)


def with_adam(parts: Parts, kind: type[Adam]) -> Parts:
    """Return the parts with Adam of another kind."""
    return replace(parts, optimizer=kind(parts.optimizer.learning_rate))  # type: ignore[attr-defined]


@in_parts(*STEPS)
def stale_adam_step(parts: Parts) -> Parts:
    """The correction is computed from the step number before."""

    class Wrong(Adam):
        def step_sizes(self, t: Any, *, xp: Any) -> Any:
            return super().step_sizes(t - 1.0, xp=xp)

    return with_adam(parts, Wrong)


@in_parts(*STEPS)
def no_bias_correction(parts: Parts) -> Parts:
    """α = η."""

    class Wrong(Adam):
        def step_sizes(self, t: Any, *, xp: Any) -> Any:
            return xp.full_like(t, self.learning_rate)

    return with_adam(parts, Wrong)


@in_parts(*STEPS)
def betas_swapped(parts: Parts) -> Parts:
    """beta_1=0.999, beta_2=0.9."""
    return replace(parts, optimizer=Adam(STEP_RATE, 0.999, 0.9))


@in_parts(*STEPS)
def epsilon_under_the_root(parts: Parts) -> Parts:
    """√(v + ε), which is RMSprop's."""

    class Wrong(AdamVariant):
        def denominator(self, v: Any, xp: Any) -> Any:
            return xp.sqrt(v + self.epsilon)

    return with_adam(parts, Wrong)


@in_parts(*STEPS)
def epsilon_of_another_library(parts: Parts) -> Parts:
    """1e-8, torch's, for Keras's 1e-7: one part in ten thousand where √v is 1e-3, and small squares tell."""
    return replace(parts, optimizer=Adam(STEP_RATE, epsilon=1e-8))


@in_parts(*STEPS)
def second_average_of_a_gradient_not_squared(parts: Parts) -> Parts:
    """v takes |g|."""

    class Wrong(AdamVariant):
        def square(self, g: Any) -> Any:
            return abs(g)

    return with_adam(parts, Wrong)


@in_parts(*STEPS)
def averages_are_not_kept(parts: Parts) -> Parts:
    """The update is right, and the averages that come back are those that went in."""

    class Wrong(Adam):
        def update(self, w: Any, g: Any, slots: Any, alpha: Any, *, xp: Any) -> Any:
            return super().update(w, g, slots, alpha, xp=xp)[0], slots

    return with_adam(parts, Wrong)


@in_parts(*STEPS)
def update_from_the_averages_before(parts: Parts) -> Parts:
    """The weights move first, then the averages."""

    class Wrong(AdamVariant):
        def update(self, w: Any, g: Any, slots: Any, alpha: Any, *, xp: Any) -> Any:
            m, v = slots
            return w - alpha * m / self.denominator(v, xp), super().update(w, g, slots, alpha, xp=xp)[1]

    return with_adam(parts, Wrong)


@in_parts(*STEPS, EPOCH)
def learning_rate_not_passed_on(parts: Parts) -> Parts:
    """Adam() with its default of 0.001."""
    return replace(parts, optimizer=Adam())


@in_parts(*STEPS)
def weights_decay(parts: Parts) -> Parts:
    """AdamW's default decay of 0.004 was taken along: 2e-4 of a weight in a step."""

    class Wrong(Adam):
        def update(self, w: Any, g: Any, slots: Any, alpha: Any, *, xp: Any) -> Any:
            return super().update(w - 0.004 * self.learning_rate * w, g, slots, alpha, xp=xp)

    return with_adam(parts, Wrong)


@in_parts(*NESTEROV)
def nesterov_forgotten(parts: Parts) -> Parts:
    """nesterov=False: plain momentum."""
    return replace(parts, optimizer=SGD(STEP_RATE, MOMENTUM))


@in_parts(*NESTEROV)
def momentum_damps_the_gradient(parts: Parts) -> Parts:
    """m ← μ m - (1 - μ) η g: a mean where a sum is meant."""

    class Wrong(SGD):
        def update(self, w: Any, g: Any, slots: Any, alpha: Any, *, xp: Any) -> Any:
            return super().update(w, (1.0 - self.momentum) * g, slots, alpha, xp=xp)

    return replace(parts, optimizer=Wrong(STEP_RATE, MOMENTUM, nesterov=True))


@in_parts(*NESTEROV)
def velocity_not_kept(parts: Parts) -> Parts:
    """The step is right, and the next one begins at rest."""

    class Wrong(SGD):
        def update(self, w: Any, g: Any, slots: Any, alpha: Any, *, xp: Any) -> Any:
            return super().update(w, g, slots, alpha, xp=xp)[0], (0.0 * slots[0],)

    return replace(parts, optimizer=Wrong(STEP_RATE, MOMENTUM, nesterov=True))
