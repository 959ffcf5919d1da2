import numpy as np
import pytest
from sklearn.datasets import load_digits

from core import datasets


def test_the_digits_are_those_of_scikit_learn():
    x, y = datasets.digits()
    expected_x, expected_y = load_digits(return_X_y=True)
    np.testing.assert_array_equal(16 * x, expected_x)
    np.testing.assert_array_equal(y, expected_y)
    assert y.dtype.kind == "i"


def test_digits_without_scikit_learn_say_so(monkeypatch):
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn"):
        datasets.digits()
