"""The oracle is checked on its own: against finite differences, not against `core`."""

import numpy as np
import pytest

from bench import hand_written
from bench.networks import LADDER_NETWORKS, NETWORKS


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


@pytest.mark.parametrize("network", LADDER_NETWORKS, ids=lambda network: network.name)
def test_an_epoch_is_one_adam_step_after_another(network):
    weights, (x, y) = network.weights("float64"), network.examples(96, "float64")
    order = np.random.default_rng(0).permutation(96).reshape(3, 32)
    trained, losses = hand_written.epoch(weights, x, y, order, network.hidden, network.output, 0.01, guard=0.0)
    m = v = [(0.0 * w, 0.0 * b) for w, b in weights]
    for t, rows in enumerate(order, start=1):
        gradients, each = hand_written.gradients(weights, x[rows], y[rows], network.hidden, network.output)
        assert losses[t - 1] == pytest.approx(each.mean(), rel=1e-12)
        weights, m, v = hand_written.adam_step(weights, gradients, m, v, t, 0.01)
    for own, right in zip(trained, weights, strict=True):
        for p, q in zip(own, right, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)


def one_weight(value):
    return [(np.array([[value]]), np.array([-value]))]


def test_an_adam_step_is_what_its_formula_gives_by_hand():
    # m = 0.9·2 + 0.1·3 = 2.1; v = 0.999·4 + 0.001·9 = 4.005; α = 0.1 √(1 - 0.999³) / (1 - 0.9³) = 0.1·0.0547449…/0.271
    square = [(np.array([[4.0]]), np.array([4.0]))]
    w, m, v = hand_written.adam_step(one_weight(1.0), one_weight(3.0), one_weight(2.0), square, 3, 0.1)
    assert m[0][0] == pytest.approx(2.1)
    assert m[0][1] == pytest.approx(-2.1)
    assert v[0][0] == v[0][1] == pytest.approx(4.005)
    change = 0.1 * 0.002997001**0.5 / 0.271 * 2.1 / (4.005**0.5 + 1e-7)
    assert w[0][0] == pytest.approx(1.0 - change, rel=1e-12)
    assert w[0][1] == pytest.approx(-1.0 + change, rel=1e-12)


def test_a_nesterov_step_is_what_its_formula_gives_by_hand():
    # m = 0.9·0.5 - 0.1·3 = 0.15; w = 1 + 0.9·0.15 - 0.1·3 = 0.835
    w, m = hand_written.nesterov_step(one_weight(1.0), one_weight(3.0), one_weight(0.5), 0.1, 0.9)
    assert m[0][0] == pytest.approx(0.15)
    assert w[0][0] == pytest.approx(0.835)
    assert w[0][1] == pytest.approx(-0.835)


def test_the_guard_in_the_logarithms_changes_the_loss_by_no_more_than_itself():
    network = NETWORKS["coffee-2-3-1"]
    weights, (x, y) = network.weights("float64"), network.examples(32, "float64")
    (bare,), (guarded,) = (
        hand_written.epoch(weights, x, y, np.arange(32)[None], "sigmoid", "sigmoid", 0.01, guard=guard)[1]
        for guard in (0.0, 1e-7)
    )
    assert 0 < bare - guarded < 1e-6


@pytest.mark.parametrize("network", LADDER_NETWORKS, ids=lambda network: network.name)
def test_it_stays_in_float32_so_that_the_baseline_is_a_fair_one(network):
    weights, (x, y), order = network.weights("float32"), network.examples(64, "float32"), np.arange(64).reshape(2, 32)
    trained, losses = hand_written.epoch(weights, x, y, order, network.hidden, network.output, 0.01)
    assert {array.dtype for pair in trained for array in pair} | {losses.dtype} == {np.dtype("float32")}
    assert hand_written.course_predict(weights, x[:2], network.hidden, network.output).dtype == np.float32


@pytest.mark.parametrize("network", LADDER_NETWORKS, ids=lambda network: network.name)
def test_the_data_saturates_nothing(network):
    x, _ = network.examples(400, "float64")
    *hidden, output = hand_written.forward(network.weights("float64"), x, network.hidden, network.output)[1:]
    assert output.min() > 1e-6
    assert output.max() < 1 - 1e-6
    for activations in hidden:
        alive = (activations > 0).mean()
        assert alive > 0.2
