"""From measurements to the rows of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from bench.comparison import Rivals
from bench.measurement import Measurement, Row
from bench.networks import NETWORKS
from bench.preparation import budget_agrees
from bench.roof import Roofs
from bench.table import SCHEMA_VERSION, summary_frame


@dataclass(frozen=True)
class Run:
    """The run that measurements belong to, what its backends said of themselves, and the rates that `roof.probe` found."""

    run_id: str
    machine_id: str
    backends: dict[str, Row]
    roofs: dict[str, Row] = field(default_factory=dict)
    recorded_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def summarise(measurements: list[Measurement], run: Run) -> pd.DataFrame:
    """Return the summary table."""
    roofs, rivals = _roofs(measurements, run), Rivals(measurements, run.backends)
    rows = []
    for own in measurements:
        row = _own_columns(own, run)
        if own.measured:
            row |= _figures(own) | _work(own, roofs) | rivals.columns(own)
        rows.append(row)
    return summary_frame(rows)


def sample_rows(measurements: list[Measurement], run: Run) -> list[Row]:
    """Return a row for every sample."""
    return [
        {"run_id": run.run_id, **measurement.identity, "process": process, "round": number, "seconds": seconds}
        for measurement in measurements
        for process, number, seconds in measurement.samples
    ]


def _own_columns(own: Measurement, run: Run) -> Row:
    case, backend = own.case, run.backends.get(own.spec, {})
    network = NETWORKS.get(case.network) if not case.source else None
    return {
        "run_id": run.run_id,
        "recorded_at": run.recorded_at,
        "machine_id": run.machine_id,
        "schema_version": SCHEMA_VERSION,
        **own.identity,
        "backend_version": backend.get("version"),
        "blas": backend.get("blas"),
        "source": Path(case.source).name,
        "dtype": case.dtype,
        "matmul_precision": backend.get("matmul_precision"),
        "threads": backend.get("threads"),
        "batch_size": case.batch_size,
        "parameters": network.parameters if network else 0,
        "status": own.status,
        "reason": own.reason,
        "stopped": own.stopped,
        **own.all_facts(),
    }


def _figures(own: Measurement) -> Row:
    call = own.call
    return {
        "median_s": call.value,
        "ci_low_s": call.low,
        "ci_high_s": call.high,
        "min_s": min(seconds for _, _, seconds in own.samples),
        "samples": len(own.samples),
        "processes": own.processes,
        "examples_per_s": own.case.examples(own.examples) / call.value,
        "budget_agrees": budget_agrees(own.all_facts(), call.value),
    }


def _roofs(measurements: list[Measurement], run: Run) -> Roofs:
    roofs = Roofs.of((spec.partition(":")[2], rates) for spec, rates in run.roofs.items())
    for own in measurements:
        if own.measured and own.case.kind == "matmul" and run.roofs:
            roofs.raise_to(own.identity["device"], own.case.precision, own.fact("flops") / own.call.value)
    return roofs


def _work(own: Measurement, roofs: Roofs) -> Row:
    device, precision, seconds, flops = own.identity["device"], own.case.precision, own.call.value, own.fact("flops")
    if flops is None:
        return {}
    bound, share = roofs.bound(device, precision, flops, own.fact("bytes") or 0, seconds)
    return {
        "gflop_per_s": flops / seconds / 1e9,
        "fraction_of_peak": roofs.fraction(device, precision, flops / seconds),
        "fraction_of_roof": share,
        "bound": bound,
    }


def run_id(name: str | None, machine_id: str) -> str:
    """Return the run's id: the name that was asked for, or the time and the machine."""
    return name or f"{datetime.now():%Y-%m-%d-%H%M%S}-{machine_id}"
