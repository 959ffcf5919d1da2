"""What a planted fault is: something that a programmer or a library gets wrong, and the cases that it is planted in.

A fault is a function that puts a wrong piece in the place of a right one: among the parts of `core` that a case's program is
made of (`in_parts`), in the backend that places, computes and waits (`in_backend`), or in the finished problem
(`in_problem`). Its name is the fault's, its docstring says how it comes about.
"""

from __future__ import annotations

import copy
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from backends import Backend
from bench import workloads
from bench.cases import EXAMPLES, Case
from bench.networks import COFFEE, DIGITS, Network
from bench.workloads import Parts, Problem

Plant = Callable[[Case, Backend, int], tuple[Problem, Backend]]


@dataclass(frozen=True)
class Fault:
    """A fault. `plant(case, backend, epoch_rows)` gives the sabotaged problem and the backend that it runs on."""

    name: str
    cause: str
    cases: tuple[Case, ...]
    plant: Plant
    in_core: bool = False

    def cases_on(self, backend: Backend) -> list[Case]:
        """Return where to plant it: what lies in `core` must also show through a compiler."""
        compiled = backend.compiles and self.in_core
        also = [replace(case, implementation="compiled") for case in self.cases if case.implementation == "matmul"]
        return [*self.cases, *(also if compiled else [])]


def on(
    workload: str, network: Network | str, implementation: str = "matmul", examples: int = EXAMPLES, **rest: Any
) -> Case:
    """Return a case with as many examples as it is measured with."""
    name = network if isinstance(network, str) else network.name
    return Case(workload, name, implementation, examples, **rest)


STEPS = on("step", COFFEE), on("step", DIGITS)
NESTEROV = on("step", COFFEE, optimizer="nesterov"), on("step", DIGITS, optimizer="nesterov")
EPOCH = on("epoch", COFFEE, "fold", 32)
PRODUCT = on("matmul", "square-256", examples=256)


def in_parts(*cases: Case) -> Callable[[Callable[[Parts], Parts]], Fault]:
    """Make a fault of a function that alters the parts of a case's program."""

    def fault(alter: Callable[[Parts], Parts]) -> Fault:
        def plant(case: Case, backend: Backend, rows: int) -> tuple[Problem, Backend]:
            return workloads.build(case, backend, case.batch_size, alter=alter, epoch_rows=rows), backend

        return Fault(*_told(alter), cases, plant, in_core=True)

    return fault


def in_backend(*cases: Case) -> Callable[[Callable[[Backend], Backend]], Fault]:
    """Make a fault of a function that alters the backend."""

    def fault(alter: Callable[[Backend], Backend]) -> Fault:
        def plant(case: Case, backend: Backend, rows: int) -> tuple[Problem, Backend]:
            altered = alter(backend)
            return workloads.build(case, altered, case.batch_size, epoch_rows=rows), altered

        return Fault(*_told(alter), cases, plant)

    return fault


def in_problem(*cases: Case) -> Callable[[Callable[[Problem, Backend], Problem]], Fault]:
    """Make a fault of a function that alters the finished problem."""

    def fault(alter: Callable[[Problem, Backend], Problem]) -> Fault:
        def plant(case: Case, backend: Backend, rows: int) -> tuple[Problem, Backend]:
            return alter(workloads.build(case, backend, case.batch_size, epoch_rows=rows), backend), backend

        return Fault(*_told(alter), cases, plant)

    return fault


def with_members(backend: Backend, **members: Any) -> Backend:
    """Return a backend like this one but for the named members."""
    altered = copy.copy(backend)
    vars(altered).update(members)
    return altered


def with_functions(backend: Backend, **functions: Any) -> Backend:
    """Return a backend whose namespace has other functions under these names."""
    namespace = types.ModuleType(backend.xp.__name__)
    namespace.__dict__.update(vars(backend.xp) | functions)
    return with_members(backend, xp=namespace)


def _told(alter: Callable[..., Any]) -> tuple[str, str]:
    return alter.__name__.replace("_", " "), inspect.getdoc(alter) or ""
