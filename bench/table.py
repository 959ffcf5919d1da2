"""The result table: its columns, how it is written, and how it is read back. `results/README.md` explains every column."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from backends import ArraybenchError
from bench.cases import WORKLOADS

SCHEMA_VERSION = 2
FILES = ("samples.csv", "machine.json", "summary.csv")
"""What a finished run's folder holds."""

COLUMNS: dict[str, str] = {
    # identity
    "run_id": "str",
    "recorded_at": "str",
    "machine_id": "str",
    "schema_version": "int64",
    # case
    "workload": "str",
    "network": "str",
    "implementation": "str",
    "source": "str",
    "backend": "str",
    "backend_version": "str",
    "blas": "str",
    "device": "str",
    "precision": "str",
    "dtype": "str",
    "result_dtype": "str",
    "matmul_precision": "str",
    "threads": "float64",
    "threads_in_effect": "float64",
    "batch_size": "int64",
    "parameters": "int64",
    # steady state
    "median_s": "float64",
    "ci_low_s": "float64",
    "ci_high_s": "float64",
    "min_s": "float64",
    "samples": "int64",
    "processes": "int64",
    "stopped": "str",
    "examples_per_s": "float64",
    # one-off costs
    "process_start_s": "float64",
    "import_s": "float64",
    "first_call_s": "float64",
    "compile_s": "float64",
    # a round trip
    "host_to_device_s": "float64",
    "dispatch_s": "float64",
    "device_s": "float64",
    "device_to_host_s": "float64",
    "end_to_end_s": "float64",
    "budget_agrees": "bool",
    # work
    "flops": "int64",
    "bytes": "int64",
    "launches": "float64",
    "gflop_per_s": "float64",
    "fraction_of_peak": "float64",
    "fraction_of_roof": "float64",
    "bound": "str",
    "peak_memory_bytes": "int64",
    # check
    "oracle_error": "float64",
    "checked": "bool",
    "subnormals": "int64",
    # comparison
    "baseline": "str",
    "speedup": "float64",
    "speedup_ci_low": "float64",
    "speedup_ci_high": "float64",
    "verdict": "str",
    "smallest_effect": "float64",
    "false_alarm_rate": "float64",
    "unlike": "str",
    "speedup_over_numpy": "float64",
    "speedup_over_numpy_ci_low": "float64",
    "speedup_over_numpy_ci_high": "float64",
    "verdict_over_numpy": "str",
    "speedup_over_eager": "float64",
    "speedup_over_eager_ci_low": "float64",
    "speedup_over_eager_ci_high": "float64",
    "verdict_over_eager": "str",
    "speedup_over_float32": "float64",
    "speedup_over_float32_ci_low": "float64",
    "speedup_over_float32_ci_high": "float64",
    "verdict_over_float32": "str",
    "speedup_of_numpy": "float64",
    "speedup_of_numpy_ci_low": "float64",
    "speedup_of_numpy_ci_high": "float64",
    "verdict_of_numpy": "str",
    "speedup_of_numba": "float64",
    "speedup_of_numba_ci_low": "float64",
    "speedup_of_numba_ci_high": "float64",
    "verdict_of_numba": "str",
    "speedup_of_jax": "float64",
    "speedup_of_jax_ci_low": "float64",
    "speedup_of_jax_ci_high": "float64",
    "verdict_of_jax": "str",
    "break_even_calls": "float64",
    # outcome
    "status": "str",
    "reason": "str",
}
LATER = ("precision", "launches", "source", "fraction_of_roof")
LATER_SPEEDUPS = ("_of_numpy", "_of_numba", "_of_jax", "_over_float32")
ADDED = {name: kind for name, kind in COLUMNS.items() if name in LATER or any(part in name for part in LATER_SPEEDUPS)}
"""Columns that tables of this version may lack, written before there were peers, precisions, sources or launches."""
SAMPLE_COLUMNS: dict[str, str] = {
    "run_id": "str",
    "workload": "str",
    "network": "str",
    "implementation": "str",
    "precision": "str",
    "backend": "str",
    "device": "str",
    "process": "int64",
    "round": "int64",
    "seconds": "float64",
}
EMPTY: dict[str, Any] = {"str": "-", "int64": 0, "float64": float("nan"), "bool": False}
"""What stands where a row has no value: a text column of which every cell is blank would be read back as numbers."""


UNKNOWN = "?"
"""The source of a user's function in a table that was written before there were sources."""


class ResultsError(ArraybenchError):
    """A results folder that cannot be written or read; the message says which and why."""


def summary_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the summary table of rows that may lack columns."""
    return _frame(rows, COLUMNS)


def write_results(folder: Path, summary: pd.DataFrame, samples: list[dict[str, Any]], machine: dict[str, Any]) -> None:
    """Write samples.csv, machine.json and summary.csv into `folder`, each whole or not at all."""
    write_whole(folder / "samples.csv", _frame(samples, SAMPLE_COLUMNS).to_csv(index=False))
    write_whole(folder / "machine.json", json.dumps(machine, indent=2) + "\n")
    write_whole(folder / "summary.csv", summary.to_csv(index=False))


def make_folder(folder: Path, new: bool = True, otherwise: str = "") -> None:
    """Make a folder; a `new` one must hold nothing yet. Raise ResultsError with the reason where it cannot be made.

    `otherwise` is what else can be done than to choose another name.

    An empty folder is as good as none: a run that is killed before it wrote anything leaves one.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = new and any(folder.iterdir())
    except FileExistsError:
        raise ResultsError(f"{folder} is a file, not a folder") from None
    except OSError as error:
        raise ResultsError(f"cannot write results to {folder}: {error.strerror}") from error
    if taken:
        raise ResultsError(f"{folder} holds a run already; choose another --name{otherwise}")


def write_whole(file: Path, content: str | bytes, partial: Path | None = None) -> None:
    """Write a file of a run whole or not at all; raise ResultsError with the reason, and leave what was there before.

    Until it is whole it lies at `partial`, or beside the run's folder: a process that is killed meanwhile leaves no half of a
    file in there.
    """
    partial = partial or file.parent.parent / f".{file.parent.name}.{file.name}.partial"
    try:
        with partial.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())  # a full disk is known before the old file goes, and nothing is written later
        os.replace(partial, file)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise ResultsError(f"cannot write results to {file}: {error.strerror}") from error
        raise


def read_results(path: str | Path) -> pd.DataFrame:
    """Return the summary table of a run, given its folder or its summary.csv, with the dtypes of `COLUMNS`."""
    file = Path(path)
    return _read(file / "summary.csv" if file.is_dir() else file, COLUMNS)


def read_samples(folder: Path) -> pd.DataFrame:
    """Return every sample of a run, given its folder, with the dtypes of `SAMPLE_COLUMNS`."""
    return _read(folder / "samples.csv", SAMPLE_COLUMNS)


def read_machine(folder: Path) -> dict[str, Any]:
    """Return what a run's machine.json tells, given the run's folder."""
    file = folder / "machine.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ResultsError(f"cannot read results from {file}: {error}") from error


def _read(file: Path, columns: dict[str, str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(file, dtype={name: kind for name, kind in columns.items() if kind == "str"})
        if "precision" not in frame:
            frame["precision"] = frame.get("dtype", "float32")  # before there was TF32; samples were of float32 alone
        if columns is COLUMNS and "source" not in frame and "workload" in frame:
            known = frame["workload"].isin(WORKLOADS)  # by their names alone users' functions were known
            frame["source"] = known.map({True: EMPTY["str"], False: UNKNOWN})
        for name in ADDED if columns is COLUMNS else ():
            if name not in frame:
                frame[name] = EMPTY[columns[name]]
        _expect(file, frame, columns)
        return frame.astype(columns)
    except (OSError, ValueError) as error:
        raise ResultsError(f"cannot read results from {file}: {error}") from error


def _expect(file: Path, frame: pd.DataFrame, columns: dict[str, str]) -> None:
    """Raise ResultsError where a file is of another version, or no such table."""
    versions = set(frame.get("schema_version", [])) - {SCHEMA_VERSION}
    if versions:
        raise ResultsError(
            f"{file} has schema version {versions.pop()}; this version of arraybench reads {SCHEMA_VERSION}: "
            "measure again, or read it with the version that wrote it"
        )
    if missing := [column for column in columns if column not in frame.columns]:
        raise ResultsError(f"{file} is not a table of results: it lacks {', '.join(missing)}")
    for name in (name for name, kind in columns.items() if kind != "float64"):
        if frame[name].isna().any():
            row = int(frame[name].isna().to_numpy().argmax()) + 1
            raise ResultsError(f"{file} is cut off or damaged: its row {row} has no {name}; measure again")


def _frame(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    unknown = {name for row in rows for name in row} - set(columns)
    if unknown:
        raise KeyError(f"no such columns in the table: {sorted(unknown)}")
    filled = {name: [_cell(row.get(name), EMPTY[kind]) for row in rows] for name, kind in columns.items()}
    return pd.DataFrame(filled).astype(columns)


def _cell(value: Any, empty: Any) -> Any:
    return empty if value is None or value == "" else value
