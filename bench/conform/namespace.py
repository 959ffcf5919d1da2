"""The namespace that `core` is given."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import array_api_compat
import numpy as np

import core
from backends import Backend, base
from bench.conform.requirement import require, requirement


@functools.cache
def needed() -> tuple[str, ...]:
    """Return the functions of a namespace that `core` and its folds use, read from their source."""
    paths = (*Path(core.__file__).parent.glob("*.py"), Path(base.__file__))
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in paths)
    found = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    names = {node.attr for node in found if "xp" in (getattr(node.value, "id", ""), getattr(node.value, "attr", ""))}
    return tuple(sorted(name for name in names if not name.startswith("_")))


@requirement
def what_core_needs_is_there(backend: Backend) -> None:
    """`xp` is a module, or has its members in its own dictionary as a module does, with all that `core` uses among them."""
    missing = [name for name in (*needed(), "float32", "float64", "int64") if name not in vars(backend.xp)]
    require(not missing, f"it lacks {', '.join(missing)}")


@requirement
def arrays_are_the_standards(backend: Backend) -> None:
    """array-api-compat takes an array for one of the standard's, and finds a namespace for it that computes the same."""
    x = backend.asarray([[1.0, -2.0]])
    require(array_api_compat.is_array_api_obj(x), f"a {type(x).__name__} is no array of the standard")
    found = array_api_compat.array_namespace(x).abs(x)
    require(backend.owns(found), f"its namespace gives a {type(found).__name__}")
    require((backend.to_numpy(found) == [[1.0, 2.0]]).all(), "its namespace gives other numbers")


@requirement
def operators_are_the_standards(backend: Backend) -> None:
    """Arithmetic, comparison, indexing and transposition give what they give in NumPy."""
    host = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
    x = backend.asarray(host)
    for what, found, expected in (
        ("x + 1", x + 1.0, host + 1.0),
        ("1 - x", 1.0 - x, 1.0 - host),
        ("x * x", x * x, host * host),
        ("2 / x", 2.0 / x, 2.0 / host),
        ("x ** 2", x**2, host**2),
        ("-x", -x, -host),
        ("x @ x.T", x @ x.T, host @ host.T),
        ("x > 0", x > 0, host > 0),
        ("x[0, :]", x[0, :], host[0, :]),
        ("x[:, None, 1:]", x[:, None, 1:], host[:, None, 1:]),
    ):
        got = backend.to_numpy(found)
        require(got.shape == expected.shape, f"{what} has shape {got.shape}, not {expected.shape}")
        require(np.allclose(got, expected, rtol=1e-14, atol=0), f"{what} gives {got.tolist()}")
