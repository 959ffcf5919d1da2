"""The oracle is checked on its own: against finite differences, not against `core`."""

import numpy as np
import pytest

from bench import hand_written
from bench.networks import NETWORKS


@pytest.mark.parametrize("name", ["coffee-2-3-1", "digits-64-25-15-1", "digits-64-25-15-10"])
def test_the_oracles_gradients_are_those_of_its_loss(name):
    network = NETWORKS[name]
    weights = network.weights("float64")
    x, y = network.examples(7, "float64")

    def loss(changed):
        return hand_written.gradients(changed, x, y, network.hidden, network.output)[1].mean()

    gradients, _ = hand_written.gradients(weights, x, y, network.hidden, network.output)
    generator = np.random.default_rng(0)
    for layer in range(len(weights)):
        for which in (0, 1):
            direction = generator.standard_normal(weights[layer][which].shape)
            moved = []
            for step in (1e-6, -1e-6):
                copy = [list(pair) for pair in weights]
                copy[layer][which] = copy[layer][which] + step * direction
                moved.append(loss([tuple(pair) for pair in copy]))
            slope = (moved[0] - moved[1]) / 2e-6
            assert slope == pytest.approx((gradients[layer][which] * direction).sum(), rel=1e-6)


def test_the_courses_loop_gives_what_the_matrix_product_gives():
    network = NETWORKS["digits-64-25-15-10"]
    weights, (x, _) = network.weights("float64"), network.examples(5, "float64")
    looped = hand_written.course_predict(weights, x, network.hidden, network.output)
    assert looped == pytest.approx(hand_written.forward(weights, x, network.hidden, network.output)[-1], rel=1e-12)


def test_one_batch_of_the_coffee_epoch_is_adams_first_step():
    network = NETWORKS["coffee-2-3-1"]
    weights, (x, y) = network.weights("float64"), network.examples(32, "float64")
    trained, losses = hand_written.coffee_epoch(weights, x, y, np.arange(32)[None], 0.01)
    gradients, each = hand_written.gradients(weights, x, y, network.hidden, network.output)
    expected = hand_written.adam_first_step(weights, gradients, 0.01)
    assert losses == pytest.approx([each.mean()], rel=1e-5)
    for own, right in zip(trained, expected, strict=True):
        for p, q in zip(own, right, strict=True):
            assert p == pytest.approx(q, rel=1e-12)


def test_it_stays_in_float32_so_that_the_baseline_is_a_fair_one():
    network = NETWORKS["coffee-2-3-1"]
    weights, (x, y) = network.weights("float32"), network.examples(64, "float32")
    trained, losses = hand_written.coffee_epoch(weights, x, y, np.arange(64).reshape(2, 32), 0.01)
    assert {array.dtype for pair in trained for array in pair} | {losses.dtype} == {np.dtype("float32")}
    assert hand_written.course_predict(weights, x, "sigmoid", "sigmoid").dtype == np.float32


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_data_saturates_nothing(network):
    x, _ = network.examples(400, "float64")
    *hidden, output = hand_written.forward(network.weights("float64"), x, network.hidden, network.output)[1:]
    assert output.min() > 1e-6
    assert output.max() < 1 - 1e-6
    for activations in hidden:
        alive = (activations > 0).mean()
        assert alive > 0.2
