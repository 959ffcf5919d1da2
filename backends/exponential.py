"""e to the power of a number without branches and tables, so that a compiler makes several at once of a loop.

The argument is reduced as by Cody and Waite (Software Manual for the Elementary Functions, 1980): x = k ln 2 + r with a whole k,
so that eˣ = 2ᵏ eʳ, where |r| is at most ln 2 / 2 and a few terms of Taylor's series are exact to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

TERMS = {"float32": 8, "float64": 14}
"""Of Taylor's series, behind which the next is under a tenth of the last digit."""


def exponential(dtype: str, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[..., Any]:
    """Return eˣ for numbers of a dtype, rounded to within one unit of the last digit; `compiled` compiles a function.

    What is too large gives infinity, what is too small zero, and NaN itself.
    """
    real = np.dtype(dtype).type
    whole = np.dtype(f"int{8 * real().itemsize}").type
    limits = np.finfo(real)
    least, greatest = real(np.log(limits.smallest_subnormal) - 1.0), real(np.log(limits.max) + 1.0)
    per_ln2 = real(1.0 / math.log(2.0))
    ln2 = real(355 / 512)  # so few digits that k times it is exact
    rest = real(Decimal(2).ln() - Decimal(355) / 512)
    series = tuple(real(1.0 / math.factorial(n)) for n in reversed(range(TERMS[dtype])))
    digits, bias = whole(limits.nmant), whole(limits.maxexp - 1)

    @compiled
    def power_of_2(n: Any) -> Any:
        return whole((whole(n) + bias) << digits).view(real)  # n is the exponent of these bits, and their fraction 0

    @compiled
    def exp(x: Any) -> Any:
        y = least if x < least else greatest if x > greatest else x
        k = np.rint(y * per_ln2)
        r = (y - k * ln2) - k * rest
        total = real(0.0)
        for term in series:
            total = total * r + term
        n = np.int32(k)
        half = n >> 1  # 2ᵏ itself may be too large or too small where eˣ is not
        return total * power_of_2(half) * power_of_2(n - half)

    return exp
