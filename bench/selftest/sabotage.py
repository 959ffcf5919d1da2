"""The gate on trial: faults that somebody could really make are planted, and each must be refused.

`rejections(backend)` is the whole of it: it shows of every fault that the honest case passes the gate on this backend, and
what the gate says of the sabotaged one. It needs no test runner.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backends import Backend
from bench import gate, workloads
from bench.cases import EPOCH_ROWS, Case
from bench.selftest.faults import Fault, layers, library, losses, results, steps, updates
from bench.workloads import Problem

MODULES = (layers, losses, updates, steps, library, results)
FAULTS = tuple(own for module in MODULES for own in vars(module).values() if isinstance(own, Fault))
SHORT_EPOCH_ROWS = 2048  # 64 steps of 32, where nothing is timed


@dataclass(frozen=True)
class Judgement:
    """What the gate says of a problem: the error that it found, if that is a number; why it is refused, if it is."""

    error: float | None
    refusal: str | None


def judge(case: Case, problem: Problem, backend: Backend) -> Judgement:
    """Put a problem through the gate."""
    try:
        return Judgement(gate.examine(case, problem, backend), None)
    except gate.MismatchError as mismatch:
        return Judgement(mismatch.error, str(mismatch))


def rejections(backend: Backend, epoch_rows: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield a row for every fault in every case that it is planted in; an epoch is as long as it is where it is timed."""
    rows = epoch_rows or (EPOCH_ROWS if backend.timed else SHORT_EPOCH_ROWS)
    for fault in FAULTS:
        for case in fault.cases_on(backend):
            yield rejection(fault, case, backend, rows)


def rejection(fault: Fault, case: Case, backend: Backend, epoch_rows: int) -> dict[str, Any]:
    """Plant a fault and return what became of it.

    `rejected` is True where the gate lets the honest case through and refuses the sabotaged one; one that breaks down instead
    proves nothing of the gate. `error` is the relative error that the gate found, None where it refused for another reason;
    `reason` tells it in words.
    """
    honest = _honest(case, backend, epoch_rows)
    row: dict[str, Any] = {
        "fault": fault.name,
        "cause": fault.cause,
        "backend": backend.spec,
        "case": case.id,
        "dtype": case.dtype,
        "rejected": False,
        "error": None,
        "tolerance": gate.tolerance(case),
        "honest_error": honest.error,
    }
    if honest.refusal:
        return row | {"reason": f"the honest case does not pass: {honest.refusal}"}
    try:
        found = judge(case, *fault.plant(case, backend, epoch_rows))
    except Exception as error:  # a library may object in its own way, and that must not cost the other rows
        return row | {"reason": f"it broke down: {type(error).__name__}: {error}"}
    return row | {"rejected": found.refusal is not None, "error": found.error, "reason": found.refusal or "it passes"}


@functools.cache
def _honest(case: Case, backend: Backend, epoch_rows: int) -> Judgement:
    return judge(case, workloads.build(case, backend, case.batch_size, epoch_rows=epoch_rows), backend)
