"""Keras 3 on JAX, TensorFlow or PyTorch, whichever KERAS_BACKEND names: `compile`, `fit`, `predict`, and the model called."""

from __future__ import annotations

import importlib
import warnings

import keras

from bench.networks import HostWeights, Network
from bench.peers import Epoch, Forward, Peer

# Keras asks newer versions of JAX for int64, and takes int32.
warnings.filterwarnings("ignore", "Explicitly requested dtype", UserWarning)


class Keras(Peer):
    """`jit_compile` is left to Keras, which chooses best; all steps of an epoch are one execution where that is allowed."""

    libraries = (keras, importlib.import_module(keras.backend.backend()))

    def fit(self, network: Network, batch_size: int, learning_rate: float) -> Epoch:
        model, optimizer = _model(network), keras.optimizers.Adam(learning_rate)
        optimizer.build(model.trainable_variables)
        unused = [variable.numpy() for variable in optimizer.variables]

        def epoch(weights, x, y):  # type: ignore[no-untyped-def]
            if not model.compiled:
                steps = 1 if keras.backend.backend() == "torch" else len(x) // batch_size
                model.compile(optimizer, loss=network.loss, steps_per_execution=steps)
            model.set_weights([array for layer in weights for array in layer])
            for variable, value in zip(optimizer.variables, unused, strict=True):
                variable.assign(value)
            history = model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0)
            return [layer.get_weights() for layer in model.layers], history.history["loss"][0]

        return epoch

    def predict(self, network: Network, weights: HostWeights) -> Forward:
        model = _model(network, weights)
        return lambda x: model.predict(x, verbose=0)

    def call(self, network: Network, weights: HostWeights) -> Forward:
        model = _model(network, weights)
        return lambda x: keras.ops.convert_to_numpy(model(x, training=False))


def _model(network: Network, weights: HostWeights | None = None) -> keras.Model:
    *hidden, outputs = network.sizes[1:]
    model = keras.Sequential(
        [
            keras.Input((network.sizes[0],)),
            *(keras.layers.Dense(units, activation=network.hidden) for units in hidden),
            keras.layers.Dense(outputs, activation=network.output),
        ]
    )
    if weights is not None:
        model.set_weights([array for layer in weights for array in layer])
    return model
