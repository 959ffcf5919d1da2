"""From measurements to the rows of the table: figures with intervals, and what each is compared with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from bench.cases import Case
from bench.networks import NETWORKS
from bench.statistics import Estimate, median_interval, ratio, verdict
from bench.table import SCHEMA_VERSION, summary_frame

Row = dict[str, Any]

LOOPS = ("hand_written", "unit")
"""What a person would write without a library: the course's loop over units. The faster of the two is the baseline."""


@dataclass
class Measurement:
    """A case on a backend: what preparing it told, and its samples as (process, round, seconds)."""

    case: Case
    spec: str
    status: str = "ok"
    reason: str = ""
    facts: Row = field(default_factory=dict)
    samples: list[tuple[int, int, float]] = field(default_factory=list)

    @property
    def identity(self) -> Row:
        """The columns that name it."""
        backend, _, device = self.spec.partition(":")
        return {
            "workload": self.case.workload,
            "network": self.case.network,
            "implementation": self.case.implementation,
            "backend": backend,
            "device": device,
        }

    @property
    def examples(self) -> int:
        """How many examples a call took."""
        return self.facts.get("batch_size", self.case.batch_size)


@dataclass(frozen=True)
class Run:
    """The run that measurements belong to, and what its backends said of themselves."""

    run_id: str
    machine_id: str
    backends: dict[str, Row]
    recorded_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def summarise(measurements: list[Measurement], run: Run) -> pd.DataFrame:
    """Return the summary table."""
    estimates = {id(m): median_interval([s for _, _, s in m.samples]) for m in measurements if m.samples}
    groups: dict[tuple[str, str, str], list[Measurement]] = defaultdict(list)
    for measurement in measurements:
        groups[measurement.case.workload, measurement.case.network, measurement.case.dtype].append(measurement)
    rows = []
    for measurement in measurements:
        row = _own_columns(measurement, run)
        if (estimate := estimates.get(id(measurement))) is not None:
            row |= _figures(measurement, estimate)
            rivals = groups[measurement.case.workload, measurement.case.network, measurement.case.dtype]
            row |= _comparison(measurement, [m for m in rivals if id(m) in estimates], estimates)
        rows.append(row)
    return summary_frame(rows)


def sample_rows(measurements: list[Measurement], run: Run) -> list[Row]:
    """Return a row for every sample."""
    return [
        {"run_id": run.run_id, **measurement.identity, "process": process, "round": number, "seconds": seconds}
        for measurement in measurements
        for process, number, seconds in measurement.samples
    ]


def _own_columns(measurement: Measurement, run: Run) -> Row:
    case, backend = measurement.case, run.backends[measurement.spec]
    network = NETWORKS.get(case.network)
    return {
        "run_id": run.run_id,
        "recorded_at": run.recorded_at,
        "machine_id": run.machine_id,
        "schema_version": SCHEMA_VERSION,
        **measurement.identity,
        "backend_version": backend["version"],
        "dtype": case.dtype,
        "matmul_precision": backend["matmul_precision"],
        "threads": backend["threads"],
        "batch_size": case.batch_size,
        "parameters": network.parameters if network else 0,
        "status": measurement.status,
        "reason": measurement.reason,
        **measurement.facts,
    }


def _figures(measurement: Measurement, estimate: Estimate) -> Row:
    facts = measurement.facts
    compiled = measurement.case.implementation in ("compiled", "fold")
    return {
        "median_s": estimate.value,
        "ci_low_s": estimate.low,
        "ci_high_s": estimate.high,
        "min_s": min(seconds for _, _, seconds in measurement.samples),
        "samples": len(measurement.samples),
        "processes": len({process for process, _, _ in measurement.samples}),
        "examples_per_s": measurement.case.examples(facts["batch_size"]) / estimate.value,
        "compile_s": max(0.0, facts["first_call_s"] - estimate.value) if compiled else None,
        "gflop_per_s": facts["flops"] / estimate.value / 1e9,
    }


def _comparison(own: Measurement, rivals: list[Measurement], estimates: dict[int, Estimate]) -> Row:
    """Return the columns that compare a measurement with the loop, and with NumPy's own row of the same implementation."""

    def each(measurement: Measurement) -> Estimate:
        return Estimate(*(value / measurement.examples for value in estimates[id(measurement)]))

    on_numpy = [m for m in rivals if m.spec.startswith("numpy:")]
    loops = [m for m in on_numpy if m.case.implementation in LOOPS]
    batch = [m for m in on_numpy if m.case.implementation == "matmul"]
    row: Row = {}
    if baseline := min(loops or batch, key=lambda m: each(m).value, default=None):
        speedup = ratio(each(baseline), each(own))
        row = {
            "baseline": f"{baseline.spec}/{baseline.case.implementation}",
            "speedup": speedup.value,
            "speedup_ci_low": speedup.low,
            "speedup_ci_high": speedup.high,
            "verdict": "BASELINE" if baseline is own else verdict(speedup),
        }
    same = {m.case.implementation: m for m in on_numpy}
    if numpy := same.get(own.case.implementation) or same.get("matmul"):
        saved = estimates[id(numpy)].value - estimates[id(own)].value
        row["speedup_over_numpy"] = each(numpy).value / each(own).value
        if numpy is not own and saved > 0 and numpy.examples == own.examples:
            row["break_even_calls"] = (own.facts["first_call_s"] + own.facts["host_to_device_s"]) / saved
    return row


def run_id(name: str | None, machine_id: str) -> str:
    """Return the run's id: the name that was asked for, or the time and the machine."""
    return name or f"{datetime.now():%Y-%m-%d-%H%M%S}-{machine_id}"
