"""What `fit`, `evaluate` and `predict` are asked for beside the data: counts, and what leaves room for what."""

from __future__ import annotations

import operator
from typing import Any


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return a count as Python's number, of whatever library it comes."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f"{name} must be a {'positive ' if least else ''}whole number, got {value!r}")
    return number


def refuse_with_batches(**options: Any) -> None:
    """Refuse what batches bring themselves."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ValueError(f"x gives batches, which leave no room for {' and '.join(given)}")


def refuse_steps(option: str, steps: Any) -> None:
    """Refuse a number of steps where there are no batches to count."""
    if steps is not None:
        raise ValueError(f"{option} is for batches; arrays are taken as a whole")
