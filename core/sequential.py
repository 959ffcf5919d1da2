"""`Sequential`: the stateful face of a network, with the contract of Keras 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import backends
from backends import Array, Backend, host
from core import config, losses, optimizers
from core.batches import Batches, Stored, are_batches, on_disk
from core.data import Examples, Execution, Form, check_rows, rows_at_once, slices
from core.history import History, Logs, Tally
from core.layers import Input, Layer, checked_name, features_of
from core.losses import Loss
from core.metrics import Metric
from core.metrics import get_all as get_metrics
from core.network import Weights
from core.optimizers import Optimizer
from core.options import refuse_steps, refuse_with_batches, whole
from core.progress import EpochProgress
from core.step import State, objective
from core.training import Trainer, compiled_forward

BAR_MOVES = 20  # how often an epoch's bar moves where a fold need not be one compiled call


class Sequential:
    """A stack of layers that can be trained.

    `layers` holds layers and, first, an `Input`; without one the model is built by the first data it sees. `backend` is a
    name as `backends.get` takes it; by default ARRAY_BACKEND decides. Data may be host arrays, nested lists or arrays of
    the backend, of shape (examples, features); all are cast to the model's dtype, `core.config.floatx()` when it was made.

    `fit`, `evaluate` and `predict` also take what is larger than memory, and hold a few chunks of it at a time: arrays on disk
    (`numpy.memmap`, data sets of h5py or zarr), and batches: anything that can be iterated, or has a length and items as
    `keras.utils.PyDataset` has, and is no array, list or tuple. A batch is (x, y) or (x, y, sample_weight), for `predict` x.
    """

    def __init__(
        self,
        layers: Sequence[Layer | Input] | None = None,
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self.backend = backends.get(backend)
        self.name = checked_name(self, name)
        self.dtype = config.floatx()
        self._layers: list[Layer] = []
        self._features: int | None = None
        self._compiled: _Compiled | None = None
        self._forward: Callable[[Weights, Array], Array] | None = None
        self._trainer: Trainer | None = None
        self._state: State | None = None
        for layer in layers or ():
            self.add(layer)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: all but what is compiled, the optimizer's averages as NumPy arrays."""
        averages = None
        if self._state is not None:
            slots = tuple(tuple(self.backend.to_numpy(array) for array in own) for own in self._state.slots)
            averages = slots, self.backend.to_numpy(self._state.t)
        return {**vars(self), "backend": self.backend.spec, "_forward": None, "_trainer": None, "_state": averages}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, backend=backends.get(state["backend"]))
        if state["_state"] is not None:
            slots, t = state["_state"]
            placed = tuple(tuple(self.backend.asarray(array, self.dtype) for array in own) for own in slots)
            self._state = State((), placed, self.backend.asarray(t, self.dtype), ())

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

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Draw the initial weights for inputs of shape (None, features): by default what the Input says."""
        features = self._features if input_shape is None else features_of(input_shape, self.name)
        if features is None:
            raise ValueError(f"{self.name} has no Input that says its number of features: build takes (None, features)")
        if self._features not in (None, features):
            raise ValueError(f"{self.name} takes {self._features} features, got input shape {input_shape}")
        self._features = features
        for layer in self._layers:
            layer.build(features, self.dtype)
            features = layer.output_features(features)

    @property
    def built(self) -> bool:
        """Whether every layer has its weights."""
        return bool(self._layers) and all(layer.variables.built for layer in self._layers)

    @property
    def trainable(self) -> bool:
        """Whether any layer is trainable; that is said of each layer when it is made, and stays."""
        return any(layer.trainable for layer in self._layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        raise AttributeError(f"{self.name} is trainable where its layers are: make them with trainable={bool(value)}")

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

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: int | str = 0, *, steps: int | None = None
    ) -> host.HostArray:
        """Return the network's output as a NumPy array.

        `batch_size` bounds the rows that are computed at once. Of batches, `steps` are taken, by default all.
        """
        size = None if batch_size is None else whole("batch_size", batch_size)
        if on_disk(x) or are_batches(x):
            with closing(self._source((x,), None, "steps", steps).parts(size)) as parts:
                outputs = [self._output(self._built_for(part.batch[0])) for part in parts]
        else:
            refuse_steps("steps", steps)
            rows = self._rows(x)
            n, size = rows.shape[0], size or rows_at_once(rows.shape[1])
            outputs = [self._output(rows[part, ...]) for part in slices(n, size)] if n > size else [self._output(rows)]
        return host.concatenate(outputs)

    def compile(
        self, optimizer: str | Optimizer, loss: str | Loss, *, metrics: Sequence[str | Metric] | None = None
    ) -> None:
        """Choose what `fit` minimises and how, and what else it reports. Forgets the optimizer's running averages."""
        self._compiled = _Compiled(losses.get(loss), optimizers.get(optimizer), get_metrics(metrics))
        self._trainer, self._state = None, None

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        *,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        steps_per_execution: int | None = None,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
    ) -> History:
        """Train in batches (of 32 unless asked otherwise), the smaller last batch included, and return a `History`.

        An epoch's loss is the mean over the examples of the loss that each had when its batch was reached. Another call
        goes on from the weights and running averages reached. `validation_split` keeps the last rows, before any shuffling,
        for validation. `steps_per_execution` is how many steps at most run between two moves of the bar: by default, where
        the backend compiles, as many as have the size of a chunk.

        With x, y or sample_weight on disk, shuffling is in constant memory, and not as thorough: see `Stored.executions`.
        Batches bring their own y, weights and size, and are trained on in the order in which they come. An epoch is one pass
        through them or `steps_per_epoch` batches, and the next goes on behind these. Of validation's, `validation_steps` are
        taken, the same first ones every time where they can be passed through again.
        """
        steps = None if steps_per_execution is None else whole("steps_per_execution", steps_per_execution)
        epochs = whole("epochs", epochs, least=0)
        verbose = 1 if verbose == "auto" else int(verbose)
        if are_batches(x):
            refuse_with_batches(
                y=y, batch_size=batch_size, sample_weight=sample_weight, validation_split=validation_split or None
            )
        batch_size = whole("batch_size", 32 if batch_size is None else batch_size)
        source, validation = self._examples((x, y, sample_weight), "steps_per_epoch", steps_per_epoch), None
        if validation_data is not None:
            validation = self._validation(validation_data, validation_steps)
        elif validation_split and not isinstance(source, Batches):
            source, validation = source.split(validation_split)
        for name, given in (("x", source), ("validation_data", validation)):
            if isinstance(given, Batches) and given.once and epochs > 1:
                wanted = "steps_per_epoch" if name == "x" else "validation_steps"
                raise ValueError(f"{name} can be passed through once, and there are {epochs} epochs; give {wanted}")
        total = source.steps(batch_size)
        if steps is None and total and verbose and not self.backend.compiles:
            steps = math.ceil(total / BAR_MOVES)
        history = History()
        for epoch in range(epochs):
            with EpochProgress(f"Epoch {epoch + 1}/{epochs}", total, verbose) as progress:
                with closing(source.executions(batch_size, steps, shuffle)) as executions:
                    logs = self._run_epoch(executions, progress)
                if validation is not None:
                    logs |= {f"val_{name}": value for name, value in self._evaluate(validation, None).items()}
                progress.finish(logs)
            history.append(epoch, logs)
        return history

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = 0,
        *,
        sample_weight: Any = None,
        return_dict: bool = False,
        steps: int | None = None,
    ) -> float | list[float] | dict[str, float]:
        """Return the mean loss over the examples; with metrics, a list that begins with it, or a dict of all by name.

        Of batches, `steps` are taken, by default all.
        """
        if are_batches(x):
            refuse_with_batches(y=y, batch_size=batch_size, sample_weight=sample_weight)
        size = None if batch_size is None else whole("batch_size", batch_size)
        logs = self._evaluate(self._examples((x, y, sample_weight), "steps", steps), size)
        if return_dict:
            return logs
        return [logs["loss"], *(logs[name] for name in self._chosen().metrics)] if len(logs) > 1 else logs["loss"]

    # Behind the face

    def _rows(self, x: Any) -> Array:
        """Return inputs as compiled functions take them."""
        rows = check_rows(x, self._features, self.backend)
        left = self.backend.takes_host_arrays and not self.backend.owns(rows)
        return self._built_for((host.asarray if left else self.backend.asarray)(rows, self.dtype))

    def _built_for(self, rows: Array) -> Array:
        """Return rows, (…, features), for which the model is built when they are the first that it sees."""
        if not self.built:
            if not self._layers:
                raise ValueError(f"{self.name} has no layers")
            self.build((None, rows.shape[-1]))
        return rows

    def _output(self, rows: Array) -> host.HostArray:
        return self.backend.to_numpy(self._compiled_forward()(self._weights(), rows))

    def _examples(self, given: tuple[Any, Any, Any], option: str, steps: int | None) -> Examples | Stored | Batches:
        loss = self._chosen().loss
        if are_batches(given[0]) or any(on_disk(array) for array in given):
            return self._source(given, loss, option, steps)
        refuse_steps(option, steps)
        examples = Examples.of(*given, self._form(loss))
        self._built_for(examples.batch[0])
        return examples

    def _source(self, given: tuple[Any, ...], loss: Loss | None, option: str, steps: int | None) -> Stored | Batches:
        """Return what is read as it is needed: without a loss, inputs alone."""
        form = self._form(loss)
        if are_batches(given[0]):
            return Batches(given[0], form, None if steps is None else whole(option, steps))
        refuse_steps(option, steps)
        stored = Stored.of(given, form)
        self._built_for(stored.arrays[0])
        return stored

    def _validation(self, data: Any, steps: int | None) -> Examples | Stored | Batches:
        if are_batches(data):
            return self._examples((data, None, None), "validation_steps", steps)
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise ValueError("validation_data must be (x, y) or (x, y, sample_weight), or batches of them")
        x, y, *weights = data
        return self._examples((x, y, weights[0] if weights else None), "validation_steps", steps)

    def _form(self, loss: Loss | None) -> Form:
        if not self._layers:
            raise ValueError(f"{self.name} has no layers")
        return Form(self._features, tuple(self._layers), loss, self.dtype, self.backend)

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

    def _run_epoch(self, executions: Generator[Execution], progress: EpochProgress) -> Logs:
        """Take every step of an epoch, keep the weights reached, and return the epoch's loss and metrics."""
        tally = Tally(["loss", *self._chosen().metrics])
        state: State | None = None
        for execution in executions:
            state = state or self._start(execution)
            order = None if execution.order is None else self.backend.asarray(execution.order)
            state, values = self._get_trainer().run(state, execution.data, order)
            tally.add([self.backend.to_numpy(value) for value in values], execution.weights)
            progress.update(execution.steps, tally.logs())
        assert state is not None  # an epoch has a step
        self._state = state
        for layer, arrays in zip(self._layers, self._get_trainer().weights(state), strict=True):
            layer.variables.replace(arrays, self.backend)
        return tally.logs()

    def _start(self, execution: Execution) -> State:
        """Return the state before an epoch's first step; what comes in batches may be the first that the model sees."""
        self._built_for(execution.data[0])
        state = self._get_trainer().start(self._weights(), self.dtype)
        # The weights may have been set since the last epoch; the running averages go on.
        return state if self._state is None else state._replace(slots=self._state.slots, t=self._state.t)

    def _evaluate(self, source: Examples | Stored | Batches, size: int | None) -> Logs:
        tally = Tally(["loss", *self._chosen().metrics])
        with closing(source.parts(size)) as parts:
            for part in parts:
                self._built_for(part.batch[0])
                values = self._get_trainer().evaluate(self._weights(), part.batch)
                tally.add([self.backend.to_numpy(value) for value in values], part.weights)
        return tally.logs()


class _Compiled(NamedTuple):
    """What `compile` chose."""

    loss: Loss
    optimizer: Optimizer
    metrics: dict[str, Metric]
