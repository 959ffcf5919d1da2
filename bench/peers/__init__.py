"""What a person would pick instead of this project: each peer is one short file, as its library's own documentation teaches.

A peer stands where a backend stands: it is opened in a worker process of its own, by a spec such as `keras-jax:cpu`, passes the
same gate and is sampled in the same rounds. All peers run on the CPU, with as many threads as their library takes by itself.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from backends.base import Array, Backend, BackendError, Tree, first_line, library_missing
from bench.networks import HostWeights, Network

METHODS = ("fit", "predict", "call")
"""What a peer may have, and a case may ask for by its `implementation`."""

Epoch = Callable[[Tree, Array, Array], tuple[Tree, Any]]
Forward = Callable[[Any], Any]


class Peer(Backend):
    """A library with its own way to write a network, train it and call it. A file overrides what its library has.

    Every method of `METHODS` makes a model and returns the function that is timed. What is not overridden has a row with the
    status `unavailable`; so has everything of a peer that cannot be used here, for the `reason` that it was made with.
    """

    libraries: ClassVar[tuple[ModuleType, ...]] = ()
    """The modules whose versions a row tells."""

    def __init__(self, name: str, reason: str = "") -> None:
        self.name, self.device = name, "cpu"  # type: ignore[misc]
        self._reason = reason

    def fit(self, network: Network, batch_size: int, learning_rate: float) -> Epoch:
        """Return `(weights, x, y) -> (weights, loss)`: an epoch of Adam from those weights, which stay as they are.

        The batches are `batch_size` rows each, in the order in which they lie; x has shape (n, features), y is as
        `Network.examples` gives it, weights as `Network.weights`, all placed by `asarray`. The loss is the mean over the epoch's
        examples, each as it was when its batch was reached.
        """
        raise self._has_no("fit")

    def predict(self, network: Network, weights: HostWeights) -> Forward:
        """Return the library's `predict`, from a NumPy array of shape (n, features) to one of shape (n, outputs)."""
        raise self._has_no("predict")

    def call(self, network: Network, weights: HostWeights) -> Forward:
        """Return the call of a model, from NumPy to NumPy as `predict`."""
        raise self._has_no("call")

    def _has_no(self, method: str) -> BackendError:
        return BackendError(self._reason or f"{self.name} has no {method}")

    # As a backend: on the host, and done when a call returns

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def version(cls) -> str:
        return ", ".join(f"{library.__name__} {library.__version__}" for library in cls.libraries)

    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        return np.asarray(host, dtype=dtype)

    def to_numpy(self, array: Array) -> Any:
        return np.asarray(array)

    def owns(self, array: Any) -> bool:
        return isinstance(array, np.ndarray | np.generic)

    def matmul_precision(self) -> Any:
        """Return None: a peer is asked for no product of its own."""
        return None


PEERS = {
    "keras-jax": "bench.peers.keras:Keras",
    "keras-tensorflow": "bench.peers.keras:Keras",
    "keras-torch": "bench.peers.keras:Keras",
    "torch-eager": "bench.peers.torch:Eager",
    "torch-compile": "bench.peers.torch:Compiled",
    "scikit-learn": "bench.peers.sklearn:ScikitLearn",
    "optax": "bench.peers.optax:Optax",
    "jax-scan": "bench.peers.jax:JaxScan",
}
KERAS_BACKENDS = {"keras-jax": "jax", "keras-tensorflow": "tensorflow", "keras-torch": "torch"}
ON_CPU = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
"""The environment of every peer; the last keeps TensorFlow from saying that it finds no GPU."""


def is_peer(spec: str) -> bool:
    """Tell whether a spec such as `keras-jax:cpu`, or a name, is a peer's."""
    return spec.partition(":")[0] in PEERS


def specs() -> tuple[str, ...]:
    """Return the spec of every peer, whether it can be used here or not."""
    return tuple(f"{name}:cpu" for name in PEERS)


def open_peer(spec: str) -> Peer:
    """Return the peer of that spec; one that cannot be used here knows why, and has nothing.

    A process opens one peer only: its library is imported in an environment of its own.
    """
    name = spec.partition(":")[0]
    os.environ.update(ON_CPU | ({"KERAS_BACKEND": KERAS_BACKENDS[name]} if name in KERAS_BACKENDS else {}))
    module, _, attribute = PEERS[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)(name)
    except ModuleNotFoundError as error:
        return Peer(name, str(library_missing(str(error.name).partition(".")[0], "arraybench[peers]")))
    except BackendError as error:
        return Peer(name, str(error))
    except Exception as error:  # a broken installation raises anything at import
        return Peer(name, f"{name} cannot be loaded: {type(error).__name__}: {first_line(error)}")
