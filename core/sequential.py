"""`Sequential`: the stateful face of a network, with the contract of Keras 3."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import backends
from backends import Array, Backend, host
from core import config, losses, optimizers
from core.data import Examples, place_examples, place_rows, slices
from core.history import History, Logs, Tally
from core.layers import Input, Layer, automatic_name
from core.losses import Loss
from core.metrics import Metric
from core.metrics import get as get_metric
from core.network import Weights
from core.optimizers import Optimizer
from core.progress import EpochProgress
from core.step import State, objective
from core.training import Trainer, compiled_forward

ROWS_AT_ONCE = 16384  # rows of a forward pass where no batch size is asked for; it changes memory, not results
BAR_MOVES = 20  # how often an epoch's bar moves where a fold need not be one compiled call


class Sequential:
    """A stack of layers that can be trained.

    `layers` holds layers and, first, an `Input`; without one the model is built by the first data it sees. `backend` is a
    name as `backends.get` takes it; by default ARRAY_BACKEND decides. Data may be host arrays, nested lists or arrays of
    the backend, of shape (examples, features); all are cast to the model's dtype, `core.config.floatx()` when it was made.
    """

    def __init__(
        self, layers: Sequence[Layer | Input] = (), name: str | None = None, *, backend: str | Backend | None = None
    ) -> None:
        self.backend = backends.get(backend)
        self.name = name or automatic_name(self)
        self.dtype = config.floatx()
        self._layers: list[Layer] = []
        self._features: int | None = None
        self._compiled: _Compiled | None = None
        self._forward: Callable[[Weights, Array], Array] | None = None
        self._trainer: Trainer | None = None
        self._state: State | None = None
        for layer in layers:
            self.add(layer)

    # Building

    def add(self, layer: Layer | Input) -> None:
        """Put a layer on top; an `Input` may only come first."""
        if isinstance(layer, Input):
            if self._layers or self._features is not None:
                raise ValueError(f"{self.name}: an Input may only come first")
            self._features = layer.shape[0]
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"{self.name}: expected a layer or an Input, got {type(layer).__name__}")
        if any(layer.name == other.name for other in self._layers):
            raise ValueError(f"{self.name}: there is a layer called {layer.name!r} already; give this one another name")
        self._layers.append(layer)
        self._forget_compiled_functions()
        if self._features is not None:
            self.build((None, self._features))

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Draw the initial weights for inputs of shape (None, features)."""
        features = input_shape[-1]
        if features is None or (self._features is not None and features != self._features):
            raise ValueError(
                f"{self.name} takes {self._features or 'some number of'} features, got input shape {input_shape}"
            )
        self._features = features
        for layer in self._layers:
            layer.build(features, self.dtype)
            features = layer.output_features(features)

    @property
    def built(self) -> bool:
        """Whether every layer has its weights."""
        return bool(self._layers) and all(layer.variables.built for layer in self._layers)

    @property
    def layers(self) -> list[Layer]:
        """The layers, bottom up, without the Input."""
        return list(self._layers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return the layer of that name or at that index."""
        if (name is None) == (index is None):
            raise ValueError("get_layer takes a name or an index")
        if index is not None:
            if not -len(self._layers) <= index < len(self._layers):
                raise ValueError(f"{self.name} has {len(self._layers)} layers; there is none at index {index}")
            return self._layers[index]
        for layer in self._layers:
            if layer.name == name:
                return layer
        raise ValueError(f"{self.name} has no layer {name!r}; it has {', '.join(layer.name for layer in self._layers)}")

    # Weights

    def get_weights(self) -> list[Any]:
        """Return NumPy copies of all weights, layer by layer."""
        return [weight for layer in self._layers for weight in layer.get_weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights by copies of host arrays, in the order of `get_weights`."""
        expected = [shape for layer in self._layers for shape in layer.variables.shapes]
        given = [tuple(host.asarray(weight).shape) for weight in weights]
        if given != expected:
            raise ValueError(f"{self.name} has weights of shapes {expected}; set_weights got {given}")
        remaining = iter(weights)
        for layer in self._layers:
            layer.set_weights([next(remaining) for _ in layer.variables.shapes])

    def count_params(self) -> int:
        """Return the number of weights."""
        return sum(layer.count_params() for layer in self._layers)

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print every layer with its output shape and number of weights, and the totals."""
        from core.summary import summary  # rich is loaded only where something is shown

        (print_fn or print)(summary(self.name, self._layers, self._features, self.dtype))

    # Use

    def __call__(self, x: Any) -> Any:
        """Return the network's output, as an array of the library that `x` came from."""
        rows = self._rows(x)
        output = self._compiled_forward()(self._weights(), rows)
        return output if self.backend.owns(x) else host.asarray(self.backend.to_numpy(output), copy=True)

    def predict(self, x: Any, batch_size: int | None = None, verbose: int | str = 0) -> Any:
        """Return the network's output as a NumPy array; `batch_size` bounds the rows that are computed at once."""
        rows, forward, weights = self._rows(x), self._compiled_forward(), self._weights()
        size = ROWS_AT_ONCE if batch_size is None else _whole("batch_size", batch_size)
        n = rows.shape[0]
        parts = [rows] if n <= size else [rows[part, ...] for part in slices(n, size)]
        return host.concatenate([self.backend.to_numpy(part) for part in [forward(weights, part) for part in parts]])

    def compile(
        self, optimizer: str | Optimizer, loss: str | Loss, metrics: Sequence[str | Metric] | None = None
    ) -> None:
        """Choose what `fit` minimises and how, and what else it reports. Forgets the optimizer's running averages."""
        named = [get_metric(metric) for metric in metrics or ()]
        self._compiled = _Compiled(losses.get(loss), optimizers.get(optimizer), dict(named))
        self._trainer, self._state = None, None

    def fit(
        self,
        x: Any,
        y: Any,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        validation_split: float = 0.0,
        validation_data: tuple[Any, ...] | None = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        steps_per_execution: int | None = None,
    ) -> History:
        """Train in batches (of 32 unless asked otherwise), the smaller last batch included, and return a `History`.

        An epoch's loss is the mean over the examples of the loss that each had when its batch was reached. Another call
        goes on from the weights and running averages reached. `validation_split` keeps the last rows, before any shuffling,
        for validation. `steps_per_execution` is how many steps run between two moves of the bar: by default, where the
        backend compiles, the whole epoch is one call.
        """
        batch_size = _whole("batch_size", 32 if batch_size is None else batch_size)
        epochs = _whole("epochs", epochs, least=0)
        verbose = 1 if verbose == "auto" else int(verbose)
        examples, validation = self._examples(x, y, sample_weight), None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                raise ValueError("validation_data must be (x, y) or (x, y, sample_weight)")
            validation = self._examples(*validation_data)
        elif validation_split:
            examples, validation = examples.split(validation_split)
        n = len(examples)
        steps = self._steps_per_execution(math.ceil(n / batch_size), verbose)
        steps = steps if steps_per_execution is None else _whole("steps_per_execution", steps_per_execution)
        history = History()
        for epoch in range(epochs):
            order = host.generator().permutation(n) if shuffle else host.arange(n)
            with EpochProgress(f"Epoch {epoch + 1}/{epochs}", math.ceil(n / batch_size), verbose) as progress:
                logs = self._run_epoch(examples, order, batch_size, steps, progress)
                if validation is not None:
                    logs |= {f"val_{name}": value for name, value in self._evaluate(validation, ROWS_AT_ONCE).items()}
                progress.finish(logs)
            history.append(epoch, logs)
        return history

    def evaluate(
        self,
        x: Any,
        y: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Return the mean loss over the examples; with metrics, a list that begins with it, or a dict of all by name."""
        size = ROWS_AT_ONCE if batch_size is None else _whole("batch_size", batch_size)
        logs = self._evaluate(self._examples(x, y, sample_weight), size)
        if return_dict:
            return logs
        return [logs["loss"], *(logs[name] for name in self._chosen().metrics)] if len(logs) > 1 else logs["loss"]

    # Behind the face

    def _rows(self, x: Any) -> Array:
        rows = place_rows(x, self._features, self.dtype, self.backend)
        if not self.built:
            if not self._layers:
                raise ValueError(f"{self.name} has no layers")
            self.build(rows.shape)
        return rows

    def _examples(self, x: Any, y: Any, sample_weight: Any = None) -> Examples:
        loss = self._chosen().loss
        rows = self._rows(x)
        units = functools.reduce(lambda features, layer: layer.output_features(features), self._layers, rows.shape[1])
        return place_examples(rows, y, sample_weight, units, loss, self.dtype, self.backend)

    def _chosen(self) -> _Compiled:
        if self._compiled is None:
            raise ValueError(f"{self.name} must be compiled first: call compile(optimizer=..., loss=...)")
        return self._compiled

    def _weights(self) -> Weights:
        return tuple([layer.variables.on(self.backend) for layer in self._layers])

    def _compiled_forward(self) -> Callable[[Weights, Array], Array]:
        if self._forward is None:
            self._forward = compiled_forward(tuple(self._layers), self.backend)
        return self._forward

    def _get_trainer(self) -> Trainer:
        if self._trainer is None:
            chosen = self._chosen()
            goal = objective(tuple(self._layers), chosen.loss, tuple(chosen.metrics.values()))
            self._trainer = Trainer(goal, chosen.optimizer, self._weights(), self.backend)
        return self._trainer

    def _forget_compiled_functions(self) -> None:
        self._forward, self._trainer, self._state = None, None, None

    def _steps_per_execution(self, steps: int, verbose: int) -> int:
        return steps if self.backend.compiles or not verbose else math.ceil(steps / BAR_MOVES)

    def _run_epoch(
        self, examples: Examples, order: host.HostArray, batch_size: int, steps: int, progress: EpochProgress
    ) -> Logs:
        """Take a step on every batch of `order`, keep the weights reached, and return the epoch's loss and metrics."""
        trainer = self._get_trainer()
        state = trainer.start(self._weights(), self.dtype)
        if self._state is not None:  # the weights may have been set since; the running averages go on
            state = state._replace(slots=self._state.slots, t=self._state.t)
        tally = Tally(["loss", *self._chosen().metrics])
        for rows in _executions(order, batch_size, steps):
            state, values = trainer.run(state, examples.batch, self.backend.asarray(rows))
            weights = None if examples.weights is None else examples.weights[rows]
            tally.add([self.backend.to_numpy(value) for value in values], weights)
            progress.update(rows.shape[0], tally.logs())
        self._state = state
        for layer, arrays in zip(self._layers, trainer.weights(state), strict=True):
            layer.variables.replace(arrays, self.backend)
        return tally.logs()

    def _evaluate(self, examples: Examples, rows_at_once: int) -> Logs:
        trainer, weights = self._get_trainer(), self._weights()
        tally = Tally(["loss", *self._chosen().metrics])
        for part in examples.slices(rows_at_once):
            values = trainer.evaluate(weights, part.batch)
            tally.add([self.backend.to_numpy(value) for value in values], part.weights)
        return tally.logs()


class _Compiled(NamedTuple):
    """What `compile` chose."""

    loss: Loss
    optimizer: Optimizer
    metrics: dict[str, Metric]


def _executions(order: host.HostArray, batch_size: int, steps: int) -> Iterator[host.HostArray]:
    """Yield the rows of `order` as arrays of shape (steps or fewer, batch size), the smaller last batch on its own."""
    whole = len(order) // batch_size * batch_size
    batches = order[:whole].reshape(-1, batch_size)
    for start in range(0, len(batches), steps):
        yield batches[start : start + steps]
    if whole < len(order):
        yield order[None, whole:]


def _whole(name: str, value: int, least: int = 1) -> int:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a {'positive ' if least else ''}whole number, got {value!r}")
    return value
