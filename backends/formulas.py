"""The standard's elementwise functions as expressions of C, of which a kernel is put together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backends.base import Array

TYPES = {"bool": "bool", "int32": "int", "int64": "long long", "float32": "float", "float64": "double"}
"""The dtypes that a kernel may have, as C has them."""

FORMULAS = {
    "add": "{0} + {1}",
    "astype": "{0}",
    "clip": "{0} < {1} ? {1} : {0} > {2} ? {2} : {0}",
    "divide": "{0} / {1}",
    "equal": "{0} == {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "maximum": "{0} != {0} || {0} > {1} ? {0} : {1}",  # the one that is NaN, where one is
    "minimum": "{0} != {0} || {0} < {1} ? {0} : {1}",
    "multiply": "{0} * {1}",
    "negative": "-{0}",
    "not_equal": "{0} != {1}",
    "square": "{0} * {0}",
    "subtract": "{0} - {1}",
    "where": "{condition} ? {1} : {2}",
}
REAL_FORMULAS = {
    "abs": "fabs({0})",
    "cos": "cos({0})",
    "exp": "exp({0})",
    "expm1": "expm1({0})",
    "log": "log({0})",
    "log1p": "log1p({0})",
    "logaddexp": "{0} == {1} ? {0} + ({type})0.6931471805599453 : fmax({0}, {1}) + log1p(exp(-fabs({0} - {1})))",
    "pow": "pow({0}, {1})",
    "sin": "sin({0})",
    "sqrt": "sqrt({0})",
    "tanh": "tanh({0})",
}
"""The formulas that hold in floating point alone."""


def formula(name: str, inputs: list[Any], out: Array) -> str | None:
    """Return a call as an expression of C, with `{0}`, `{1}` and so on for the arrays among its inputs; None where it has none.

    As NumPy and CuPy do, it computes in the dtype of the result or, where that is a truth value, in that of all inputs together.
    """
    dtype = out.dtype if out.dtype != bool else np.result_type(*(getattr(x, "dtype", x) for x in inputs))
    pattern = FORMULAS.get(name) or (REAL_FORMULAS.get(name) if dtype.kind == "f" else None)
    kind = TYPES.get(dtype.name)
    if pattern is None or kind is None or not all(map(_is_operand, inputs)):
        return None
    operands, arrays = [], 0
    for x in inputs:
        if isinstance(x, bool | int | float):
            operands.append(f"({kind}){int(x) if isinstance(x, bool) else x!r}")
        else:
            operands.append(f"{{{arrays}}}" if x.dtype == dtype else f"({kind}){{{arrays}}}")
            arrays += 1
    condition = "{0}" if hasattr(inputs[0], "dtype") else operands[0]  # is a truth value, whatever is chosen by it
    return pattern.format(*operands, type=kind, condition=condition)


def _is_operand(x: Any) -> bool:
    if type(x) in (bool, int, float):
        return math.isfinite(x)
    return getattr(getattr(x, "dtype", None), "name", None) in TYPES
