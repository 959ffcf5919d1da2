"""Optax: its Adam in plain JAX, with `lax.scan` over the steps of an epoch, under one `jit`."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax

from bench.networks import Network
from bench.peers import Epoch
from bench.peers.jax import OnJax, batches, forward


class Optax(OnJax):
    """Network and calls are plain JAX (`jax-scan`); only losses and updates come from the library."""

    libraries = (optax, jax)

    def fit(self, network: Network, batch_size: int, learning_rate: float) -> Epoch:
        optimizer = optax.adam(learning_rate, eps=1e-7)

        def mean_loss(params, x, y):  # type: ignore[no-untyped-def]
            z = forward(network, params, x)
            if network.output == "sigmoid":
                return optax.sigmoid_binary_cross_entropy(z, y).mean()
            return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

        def step(state, batch):  # type: ignore[no-untyped-def]
            params, averages = state
            loss, grads = jax.value_and_grad(mean_loss)(params, *batch)
            updates, averages = optimizer.update(grads, averages)
            return (optax.apply_updates(params, updates), averages), loss

        @partial(jax.jit, donate_argnums=0)
        def scan(state, x, y):  # type: ignore[no-untyped-def]
            state, losses = jax.lax.scan(step, state, batches(x, y, batch_size))
            return state, losses.mean()

        def epoch(weights, x, y):  # type: ignore[no-untyped-def]
            params = jax.tree.map(jnp.copy, weights)
            (params, _), loss = scan((params, optimizer.init(params)), x, y)
            return params, loss

        return epoch
