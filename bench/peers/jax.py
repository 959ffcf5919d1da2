"""JAX without any other library: `grad`, Adam written by hand, and `lax.scan` over the steps of an epoch, under one `jit`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from backends.base import Array, Tree, leaves
from bench.networks import HostWeights, Network
from bench.peers import Epoch, Forward, Peer

ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "softmax": jax.nn.softmax}
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class OnJax(Peer):
    """What every peer has whose arrays are JAX's."""

    def asarray(self, host: Any, dtype: str | None = None) -> Array:
        return jnp.asarray(host, dtype)

    def to_numpy(self, array: Array) -> Any:
        return np.asarray(array)

    def owns(self, array: Any) -> bool:
        return isinstance(array, jax.Array)

    def synchronize(self, tree: Tree) -> Tree:
        return jax.block_until_ready(tree)

    def ready(self, tree: Tree) -> bool:
        return all(array.is_ready() for array in leaves(tree) if self.owns(array))


class JaxScan(OnJax):
    """The state of the scan is donated, so that an epoch updates it in place."""

    libraries = (jax,)

    def fit(self, network: Network, batch_size: int, learning_rate: float) -> Epoch:
        def step(state, batch):  # type: ignore[no-untyped-def]
            params, m, v, t = state
            loss, grads = jax.value_and_grad(partial(mean_loss, network))(params, *batch)
            t = t + 1
            rate = learning_rate * jnp.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
            m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, m, grads)
            v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g**2, v, grads)
            params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON), params, m, v)
            return (params, m, v, t), loss

        @partial(jax.jit, donate_argnums=0)
        def scan(state, x, y):  # type: ignore[no-untyped-def]
            state, losses = jax.lax.scan(step, state, batches(x, y, batch_size))
            return state, losses.mean()

        def epoch(weights, x, y):  # type: ignore[no-untyped-def]
            zeros = partial(jax.tree.map, jnp.zeros_like)
            state = jax.tree.map(jnp.copy, weights), zeros(weights), zeros(weights), jnp.zeros(())
            (params, *_), loss = scan(state, x, y)
            return params, loss

        return epoch

    def call(self, network: Network, weights: HostWeights) -> Forward:
        params, output = jax.device_put(weights), ACTIVATIONS[network.output]
        apply = jax.jit(lambda params, x: output(forward(network, params, x)))
        return lambda x: np.asarray(apply(params, x))


def forward(network: Network, params: Any, x: Array) -> Array:
    """Return the output layer's sums."""
    for w, b in params[:-1]:
        x = ACTIVATIONS[network.hidden](x @ w + b)
    w, b = params[-1]
    return x @ w + b


def mean_loss(network: Network, params: Any, x: Array, y: Array) -> Array:
    """Return the mean cross-entropy of a batch, from the sums and so without a logarithm of zero."""
    z = forward(network, params, x)
    if network.output == "sigmoid":
        return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=-1))


def batches(x: Array, y: Array, batch_size: int) -> tuple[Array, Array]:
    """Return the examples as stacked batches, shape (steps, batch, …)."""
    return x.reshape(-1, batch_size, *x.shape[1:]), y.reshape(-1, batch_size, *y.shape[1:])
