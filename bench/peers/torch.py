"""PyTorch: `nn.Sequential`, the fused Adam, and the training loop of its tutorials; eager, and under `torch.compile`."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from backends.base import BackendError
from bench.networks import HostWeights, Network
from bench.peers import Epoch, Forward, Peer

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}
LOSSES = {"sigmoid": nn.BCEWithLogitsLoss, "softmax": nn.CrossEntropyLoss}
OUTPUTS = {"sigmoid": torch.sigmoid, "softmax": lambda z: torch.softmax(z, dim=-1)}


class Eager(Peer):
    """Every operation is run as it is met; the batches are slices of a data set in memory."""

    libraries = (torch,)

    def asarray(self, host: Any, dtype: str | None = None) -> Any:
        return torch.as_tensor(host)

    def to_numpy(self, array: Any) -> Any:
        return array.detach().numpy()

    def compiled(self, function: Any) -> Any:
        """Return a function, or a model, as it is to be called."""
        return function

    def fit(self, network: Network, batch_size: int, learning_rate: float) -> Epoch:
        model, criterion = _model(network), LOSSES[network.output]()
        loss_of = self.compiled(lambda x, y: criterion(model(x), y))

        def epoch(weights, x, y):  # type: ignore[no-untyped-def]
            _load(model, weights)
            optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, eps=1e-7, fused=True)
            dataset, losses = TensorDataset(x, y), []
            for start in range(0, len(dataset), batch_size):
                loss = loss_of(*dataset[start : start + batch_size])
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.detach())
            return [(layer.weight.T, layer.bias) for layer in _dense(model)], torch.stack(losses).mean()

        return epoch

    def call(self, network: Network, weights: HostWeights) -> Forward:
        model = _model(network)
        _load(model, weights)
        forward, output = self.compiled(model.eval()), OUTPUTS[network.output]

        @torch.inference_mode()
        def call(x):  # type: ignore[no-untyped-def]
            return output(forward(torch.from_numpy(x))).numpy()

        return call


class Compiled(Eager):
    """The model with its loss under `torch.compile`, which needs a compiler of C++ on a CPU."""

    def __init__(self, name: str) -> None:
        if not (shutil.which("g++") or shutil.which("clang++")):
            raise BackendError("torch.compile needs a compiler of C++ (g++ or clang++)")
        super().__init__(name)

    def compiled(self, function: Any) -> Any:
        return torch.compile(function)


def _model(network: Network) -> nn.Sequential:
    *hidden, (features, outputs) = network.kernels
    layers = [(nn.Linear(i, o), ACTIVATIONS[network.hidden]()) for i, o in hidden]
    return nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(features, outputs))


def _dense(model: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in model if isinstance(layer, nn.Linear)]


@torch.no_grad()
def _load(model: nn.Sequential, weights: Any) -> None:
    for layer, (w, b) in zip(_dense(model), weights, strict=True):
        layer.weight.copy_(torch.as_tensor(w).T)
        layer.bias.copy_(torch.as_tensor(b))
