"""scikit-learn: `MLPClassifier`, whose `fit` goes once through the rows, in batches and in their order."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.networks import HostWeights, Network
from bench.peers import Epoch, Forward, Peer

ACTIVATIONS = {"sigmoid": "logistic", "relu": "relu"}


class ScikitLearn(Peer):
    """`warm_start` lets a `fit` begin at the weights that were set, with a new Adam; without L2 penalty it is the same loss."""

    libraries = (sklearn,)

    def fit(self, network: Network, batch_size: int, learning_rate: float) -> Epoch:
        model = _classifier(network, batch_size=batch_size, learning_rate_init=learning_rate)

        def epoch(weights, x, y):  # type: ignore[no-untyped-def]
            _load(model, weights)
            with warnings.catch_warnings(
                category=ConvergenceWarning, action="ignore"
            ):  # one epoch is what is asked for
                model.fit(x, y.ravel())
            return list(zip(model.coefs_, model.intercepts_, strict=True)), model.loss_

        return epoch

    def predict(self, network: Network, weights: HostWeights) -> Forward:
        model = _classifier(network)
        _load(model, weights)
        first = 1 if network.output == "sigmoid" else 0  # of two classes it gives both probabilities
        return lambda x: model.predict_proba(x)[:, first:]


def _classifier(network: Network, **options: Any) -> MLPClassifier:
    """Return a classifier that has been fitted to a row of each class, so that it has weights that can be replaced."""
    model = MLPClassifier(
        hidden_layer_sizes=network.sizes[1:-1],
        activation=ACTIVATIONS[network.hidden],
        alpha=0.0,
        shuffle=False,
        max_iter=1,
        warm_start=True,
        epsilon=1e-7,
        random_state=0,
        **options,
    )
    x, y = network.examples(4096, "float32")
    with warnings.catch_warnings(category=ConvergenceWarning, action="ignore"):
        return model.fit(x, y.ravel())


def _load(model: MLPClassifier, weights: Any) -> None:
    model.coefs_ = [np.array(w) for w, _ in weights]
    model.intercepts_ = [np.array(b) for _, b in weights]
