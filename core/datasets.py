"""Data sets of the course and of its size, as NumPy arrays."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from backends import host

Data = tuple[host.HostArray, host.HostArray]


def coffee() -> Data:
    """Return 200 roasts: temperature in °C and duration in minutes, shape (200, 2), and good (1) or not (0), shape (200, 1).

    The rule and the draws are those of the course's laboratory: good is inside the triangle under the line from
    (175 °C, 15 min) to (260 °C, 12 min), above 175 °C and 12 minutes.
    """
    x = host.generator(seed=2).random(400).reshape(-1, 2)
    celsius = x[:, 0] * (285 - 150) + 150
    minutes = x[:, 1] * 4 + 11.5
    below_line = minutes <= -3 / (260 - 175) * celsius + 21
    good = (celsius > 175) & (celsius < 260) & (minutes > 12) & (minutes < 15) & below_line
    return host.columns(celsius, minutes), host.columns(good.astype(float))


def digits(only: tuple[int, ...] | None = None) -> Data:
    """Return the 1,797 scanned digits of scikit-learn: 8 x 8 pixels from 0 to 1, shape (n, 64), and the digit, shape (n,).

    `only=(0, 1)` keeps zeros and ones, as in the course's binary network. Read from the file of `load_digits`: importing
    scikit-learn would take a hundred times as long.
    """
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("the digits are scikit-learn's, and it is not installed: pip install scikit-learn")
    table = host.read_table(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz")
    x, y = table[:, :-1], table[:, -1].astype(int)
    if only is not None:
        keep = (y[:, None] == host.asarray(only)).any(axis=1)
        x, y = x[keep], y[keep]
    return x / 16.0, y


def demand(n: int = 400, seed: int = 2) -> Data:
    """Return T-shirts on sale: price, shipping cost, marketing and material, shape (n, 4), and top seller or not, (n, 1).

    Price and shipping are in dollars, marketing and material quality from 0 to 1. The course names the features and what
    they lead to, not the numbers; the rule is ours: a top seller has at least two of affordability (price plus shipping
    under 30), awareness (marketing over 0.5) and perceived quality (three parts material, one part price, over one half).
    """
    u = host.generator(seed).random((n, 4))
    price, shipping, marketing, material = 5 + 35 * u[:, 0], 10 * u[:, 1], u[:, 2], u[:, 3]
    affordable = (price + shipping < 30).astype(int)
    aware = (marketing > 0.5).astype(int)
    quality = (0.75 * material + 0.25 * price / 40 > 0.5).astype(int)
    top_seller = affordable + aware + quality >= 2
    return host.columns(price, shipping, marketing, material), host.columns(top_seller.astype(float))
