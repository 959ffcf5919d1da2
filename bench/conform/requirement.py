"""What a requirement is: a promise of a backend that can be tried on any of them, and what came of trying."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backends import Backend
from backends.base import first_line
from bench.gate import MismatchError

Check = Callable[[Backend], None]


class NotMetError(Exception):
    """A requirement is not met; the message says what was found instead."""


class NotTriedError(Exception):
    """There is nothing here to try a requirement on; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What came of trying: whether the requirement is met, and else what was found, or why it was not tried."""

    result: Literal["passed", "failed", "not tried"]
    found: str = ""


@dataclass(frozen=True)
class Requirement:
    """A promise: what it is about, its name, and what is expected, in a sentence."""

    group: str
    name: str
    expected: str
    check: Check

    def on(self, backend: Backend) -> Outcome:
        """Try it; whatever breaks on the way is not met either."""
        try:
            self.check(backend)
        except NotTriedError as reason:
            return Outcome("not tried", str(reason))
        except (NotMetError, MismatchError) as found:
            return Outcome("failed", str(found))
        except Exception as error:  # a backend may break in its own way, and that must not cost the other requirements
            return Outcome("failed", f"it broke down: {type(error).__name__}: {first_line(error)}")
        return Outcome("passed")


def requirement(check: Check) -> Requirement:
    """Make a requirement of a function that raises NotMetError: its name is the name, its docstring what is expected."""
    group = check.__module__.rpartition(".")[2]
    return Requirement(group, check.__name__.replace("_", " "), " ".join((inspect.getdoc(check) or "").split()), check)


def require(met: object, found: str) -> None:
    """Raise NotMetError with what was found, unless it is met."""
    if not met:
        raise NotMetError(found)


def require_same(what: str, found: Any, expected: Any) -> None:
    """Require a NumPy array of the dtype, shape and values that are expected."""
    require(isinstance(found, np.ndarray), f"{what} is a {type(found).__name__}, not a NumPy array")
    same = (found.dtype, found.shape) == (expected.dtype, expected.shape)
    require(same, f"{what} is of {found.dtype} and shape {found.shape}, not {expected.dtype} and {expected.shape}")
    require(np.array_equal(found, expected, equal_nan=True), f"{what} has other values than it should")
