"""One neural network, written once against the array API standard, with the face of Keras 3: `import core as keras`."""

from core import activations, config, datasets, initializers, layers, losses, metrics, models, optimizers, utils
from core.history import History
from core.layers import Activation, Dense, Input, Normalization
from core.sequential import Sequential

__all__ = [
    "Activation",
    "Dense",
    "History",
    "Input",
    "Normalization",
    "Sequential",
    "activations",
    "config",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "utils",
]
