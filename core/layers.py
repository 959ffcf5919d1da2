"""The layers of a network.

A layer is a frozen description: its `forward` and `backward` are pure functions of the weights, the input and an array API
namespace, and keep nothing. The weights hang beside it in `variables`, outside its value: two layers with one description
are equal, whatever their names and weights.
"""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import backends
from backends import host
from core import activations, config, initializers
from core.activations import ActivationFunction
from core.options import whole
from core.variables import Variables

Array = Any
Namespace = Any
Shape = tuple[int, ...]

_names: collections.Counter[str] = collections.Counter()


def automatic_name(owner: object) -> str:
    """Return `dense`, `dense_1`, `dense_2`, … as Keras numbers the objects of a class."""
    stem = re.sub(r"(?<!^)(?=[A-Z][a-z])", "_", type(owner).__name__).lower()
    number = _names[stem]
    _names[stem] += 1
    return f"{stem}_{number}" if number else stem


def checked_name(owner: object, name: str | None) -> str:
    """Return the name that was given to a layer or a model, or an automatic one."""
    if not isinstance(name or "", str) or "/" in (name or ""):
        raise ValueError(f"the name of {type(owner).__name__} must be a string without '/', got {name!r}")
    return name or automatic_name(owner)


def features_of(input_shape: Any, owner: str) -> int:
    """Return the number of features in a shape as Keras's `build` takes it, (None, features), or the number itself."""
    pair = isinstance(input_shape, (tuple, list)) and len(input_shape) == 2
    try:
        return whole("features", input_shape[-1] if pair else input_shape)
    except ValueError:
        raise ValueError(f"{owner} is built for inputs of shape (None, features), got {input_shape!r}") from None


@dataclass(frozen=True)
class Input:
    """The shape of one example, `(features,)`: what a model needs to be built before it sees data."""

    shape: Shape

    def __post_init__(self) -> None:
        try:
            (features,) = self.shape
            object.__setattr__(self, "shape", (None if features is None else whole("features", features),))
        except (TypeError, ValueError):
            raise ValueError(f"Input takes the shape of one example, (features,), got {self.shape!r}") from None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What every layer is. The four pure methods below are a new layer's whole contract."""

    name: str = field(default="", compare=False)
    trainable: bool = True
    variables: Variables = field(default_factory=Variables, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", checked_name(self, self.name))

    def initial_weights(self, features: int, generator: host.Generator) -> tuple[Any, ...]:
        """Return the host arrays that this layer starts from when an example has that many features."""
        return ()

    def forward(self, weights: tuple[Array, ...], x: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """Return the output for `x` of shape (n, features), and the residual: what `backward` needs of this pass."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(
        self, weights: tuple[Array, ...], residual: Any, dy: Array, *, xp: Namespace, needs_dx: bool = True
    ) -> tuple[Array | None, tuple[Array, ...]]:
        """Return the loss's gradients for the input and for each weight, given `dy`, its gradient for the output.

        Without `needs_dx` the first may be None: below the lowest trainable layer nobody asks for it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def output_features(self, features: int) -> int:
        """Return how many features an output has when an input has `features`."""
        return features

    # The face of Keras: state beside the description.

    def build(self, input_shape: int | Sequence[int | None], dtype: str | None = None) -> None:
        """Draw the initial weights from the seeded generator, unless there are weights already.

        The shape of inputs is (None, features), or the number of features alone.
        """
        features = features_of(input_shape, self.name)
        if not self.variables.built:
            self.variables.create(self.initial_weights(features, host.generator()), features, dtype or config.floatx())
        elif self.variables.features != features:
            raise ValueError(f"{self.name} was built for {self.variables.features} features, got {features}")
        elif dtype is not None and dtype != self.variables.dtype:
            self.variables.create(self.variables.numpy(), features, dtype)

    def __call__(self, x: Any) -> Any:
        """Apply the layer on its own, built on first use. Returns an array of the library that `x` came from."""
        backend = backends.get()
        given = x if backend.owns(x) else host.asarray(x)
        if given.ndim != 2:
            raise ValueError(f"{self.name} takes an array of shape (examples, features), got shape {given.shape}")
        self.build(given.shape[1])
        y, _ = self.forward(self.variables.on(backend), backend.asarray(given, self.variables.dtype), xp=backend.xp)
        return y if backend.owns(x) else host.asarray(backend.to_numpy(y), copy=True)

    def get_weights(self) -> list[Any]:
        """Return NumPy copies of the weights; an empty list before the layer is built."""
        return self.variables.numpy()

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the weights by copies of host arrays of the same shapes."""
        self.variables.assign(weights, self.name)

    def count_params(self) -> int:
        """Return the number of weights."""
        return sum(math.prod(shape) for shape in self.variables.shapes)


@dataclass(frozen=True)
class Dense(Layer):
    """`a = g(x W + b)` with W of shape (features, units), b of shape (units,) and the activation g."""

    units: int
    activation: ActivationFunction | str | None = field(default=None, compare=False)
    use_bias: bool = True
    kernel_initializer: initializers.Initializer | str = "glorot_uniform"
    bias_initializer: initializers.Initializer | str = "zeros"
    g: ActivationFunction = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "units", whole("units of Dense", self.units))
        initializers.get(self.kernel_initializer), initializers.get(self.bias_initializer)
        object.__setattr__(self, "g", activations.get(self.activation))

    def initial_weights(self, features: int, generator: host.Generator) -> tuple[Any, ...]:
        kernel = initializers.get(self.kernel_initializer)((features, self.units), generator)
        if not self.use_bias:
            return (kernel,)
        return kernel, initializers.get(self.bias_initializer)((self.units,), generator)

    def output_features(self, features: int) -> int:
        return self.units

    def forward(self, weights: tuple[Array, ...], x: Array, *, xp: Namespace) -> tuple[Array, Any]:
        z = xp.matmul(x, weights[0])
        if self.use_bias:
            z = z + weights[1]
        a = self.g.forward(z, xp)
        return a, (x, a)

    def backward(
        self, weights: tuple[Array, ...], residual: Any, dy: Array, *, xp: Namespace, needs_dx: bool = True
    ) -> tuple[Array | None, tuple[Array, ...]]:
        x, a = residual
        dz = self.g.backward(a, dy, xp)
        dx = xp.matmul(dz, weights[0].T) if needs_dx else None
        dw = xp.matmul(x.T, dz)
        return dx, (dw, xp.sum(dz, axis=0)) if self.use_bias else (dw,)


@dataclass(frozen=True)
class Activation(Layer):
    """`a = g(x)`: an activation as a layer of its own."""

    activation: ActivationFunction | str | None = field(compare=False)
    g: ActivationFunction = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "g", activations.get(self.activation))

    def forward(self, weights: tuple[Array, ...], x: Array, *, xp: Namespace) -> tuple[Array, Any]:
        a = self.g.forward(x, xp)
        return a, a

    def backward(
        self, weights: tuple[Array, ...], residual: Any, dy: Array, *, xp: Namespace, needs_dx: bool = True
    ) -> tuple[Array | None, tuple[Array, ...]]:
        return self.g.backward(residual, dy, xp) if needs_dx else None, ()


@dataclass(frozen=True)
class Normalization(Layer):
    """`(x - mean) / max(√variance, 1e-7)`, feature by feature, with the mean and variance of the data given to `adapt`."""

    axis: int = -1
    trainable: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.axis not in (-1, 1):
            raise ValueError(f"Normalization works along the features, axis=-1, got axis={self.axis!r}")

    def adapt(self, data: Any) -> None:
        """Take the mean and the population variance of every feature of `data`, shape (examples, features)."""
        backend = backends.get()
        x = host.asarray(backend.to_numpy(data) if backend.owns(data) else data, "float64")
        if x.ndim != 2 or not x.shape[0]:
            raise ValueError(f"adapt takes data of shape (examples, features) with one example at least, got {x.shape}")
        if self.variables.features not in (None, x.shape[1]):
            raise ValueError(f"{self.name} was built for {self.variables.features} features, got {x.shape[1]}")
        mean, variance = x.mean(axis=0), x.var(axis=0)
        self.variables.create((mean, variance, host.zeros(())), x.shape[1], self.variables.dtype or config.floatx())

    def initial_weights(self, features: int, generator: host.Generator) -> tuple[Any, ...]:
        # Keras keeps a count beside the two, unused, so that older files load; get_weights has it here too.
        return host.zeros((features,)), host.zeros((features,)) + 1.0, host.zeros(())

    def forward(self, weights: tuple[Array, ...], x: Array, *, xp: Namespace) -> tuple[Array, Any]:
        mean, variance, _ = weights
        deviation = xp.maximum(xp.sqrt(variance), 1e-7)
        return (x - mean) / deviation, deviation

    def backward(
        self, weights: tuple[Array, ...], residual: Any, dy: Array, *, xp: Namespace, needs_dx: bool = True
    ) -> tuple[Array | None, tuple[Array, ...]]:
        return dy / residual if needs_dx else None, ()
