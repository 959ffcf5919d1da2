"""Optimizers with Keras 3's formulas, one array at a time and without changing any in place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, SupportsFloat

Array = Any
Namespace = Any


@dataclass(frozen=True)
class Optimizer:
    """The interface of every optimizer: a description whose running averages travel beside it as `slots`."""

    def _take_floats(self, *names: str) -> None:
        """Make these fields Python's floats: a number of NumPy's would decide the dtype of what it is multiplied with."""
        for name in names:
            value = getattr(self, name)
            try:
                number = float(value) if isinstance(value, SupportsFloat) else math.nan
            except (TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number):
                raise ValueError(f"{name} must be a finite number, got {value!r}")
            object.__setattr__(self, name, number)

    @property
    def slot_count(self) -> int:
        """How many arrays of a weight's shape are kept from step to step; all start at zero."""
        return 0

    def step_sizes(self, t: Array, *, xp: Namespace) -> Array:
        """Return the size α of every step whose number is in `t`, 1 for the first; shape and dtype stay."""
        raise NotImplementedError(f"{type(self).__name__} has no step_sizes")

    def update(
        self, w: Array, g: Array, slots: tuple[Array, ...], alpha: Array, *, xp: Namespace
    ) -> tuple[Array, tuple[Array, ...]]:
        """Return the new weights and slots.

        `w`, its gradient `g` and each slot have one shape and dtype; `alpha` is the step's size, a 0-d array of that dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update")


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: w ← w - α g; with momentum μ: m ← μ m - α g, w ← w + m (Nesterov: w ← w + μ m - α g); α is η."""

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        self._take_floats("learning_rate", "momentum")
        if not 0.0 <= self.momentum <= 1.0:
            raise ValueError(f"momentum must be between 0 and 1, got {self.momentum!r}")

    @property
    def slot_count(self) -> int:
        return 1 if self.momentum else 0

    def step_sizes(self, t: Array, *, xp: Namespace) -> Array:
        return xp.full_like(t, self.learning_rate)

    def update(
        self, w: Array, g: Array, slots: tuple[Array, ...], alpha: Array, *, xp: Namespace
    ) -> tuple[Array, tuple[Array, ...]]:
        mu = self.momentum
        if not mu:
            return w - alpha * g, ()
        (m,) = slots
        m = mu * m - alpha * g
        return w + (mu * m - alpha * g if self.nesterov else m), (m,)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, the form before section 2.1): ε outside the root, the step size carries both corrections.

    m ← m + (1 - β₁)(g - m), v ← v + (1 - β₂)(g² - v), w ← w - α m / (√v + ε), where α is η √(1 - β₂ᵗ) / (1 - β₁ᵗ).
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        self._take_floats("learning_rate", "beta_1", "beta_2", "epsilon")

    @property
    def slot_count(self) -> int:
        return 2

    def step_sizes(self, t: Array, *, xp: Namespace) -> Array:
        return self.learning_rate * xp.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)

    def update(
        self, w: Array, g: Array, slots: tuple[Array, ...], alpha: Array, *, xp: Namespace
    ) -> tuple[Array, tuple[Array, ...]]:
        m, v = slots
        m = m + (g - m) * (1.0 - self.beta_1)
        v = v + (g * g - v) * (1.0 - self.beta_2)
        return w - alpha * m / (xp.sqrt(v) + self.epsilon), (m, v)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def get(optimizer: str | Optimizer) -> Optimizer:
    """Return the optimizer of that name with its defaults, or the optimizer itself."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str) and optimizer.lower() in OPTIMIZERS:
        return OPTIMIZERS[optimizer.lower()]()
    raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)} or an Optimizer, got {optimizer!r}")
