"""Sessions of pytest that measure: what one test measures, the run that a session writes, and a session for each backend."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import backends
from backends import Backend
from backends.base import leaves
from backends.registry import VARIABLE
from bench import functions, machine, report, terminal
from bench.cases import Case
from bench.driver import usable_specs
from bench.journal import sole_writer
from bench.measurement import Measurement, Row
from bench.preparation import UnmeasuredError, prepare
from bench.results import Run, run_id, sample_rows, summarise
from bench.run import BUDGET_S, SEED
from bench.table import make_folder, write_results
from bench.workloads import Problem


def problem(
    identity: tuple[str, str, str],
    source: str,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: Row,
    backend: Backend,
) -> tuple[Case, Problem]:
    """Return a function on its arguments as a case and its problem; their dtype is that of the floating arrays together."""
    floating = [array.dtype for array in leaves(arguments) if isinstance(array, np.ndarray) and array.dtype.kind == "f"]
    dtype = str(np.result_type(*floating)) if floating else functions.DTYPE
    declared = functions.declare(function, lambda: arguments, {"dtype": [dtype]}, **options)
    built = functions.build(declared, {"dtype": dtype}, identity[-1] == "compiled", backend)
    return Case(*identity, 1, dtype, source=source), built


def measure(
    case: Case,
    backend: Backend,
    benchmark: BenchmarkFixture,
    measurements: list[Measurement],
    problem: Problem | None = None,
) -> Any:
    """Measure a case by pytest-benchmark, take it into the session's measurements, and return what it returned.

    The test fails where that is not the oracle's. A compiler that ran inside pytest-benchmark's first call would make it choose
    far too few rounds, so the case is warm before.
    """
    benchmark.group, benchmark.extra_info["array_backend"] = case.group, backend.spec
    measurement = Measurement(case, backend.spec, "failed", "it raised an exception, or was interrupted")
    measurements.append(measurement)
    subject = None
    try:
        subject = prepare(case, backend, BUDGET_S, problem=problem)
    except UnmeasuredError as error:
        measurement.status, measurement.reason = error.status, error.reason
    if measurement.status == "mismatch":
        pytest.fail(measurement.reason, pytrace=False)
    if subject is None:
        pytest.skip(f"{measurement.status}: {measurement.reason}")
    result = benchmark(lambda: backend.synchronize(subject.call()))
    measurement.status, measurement.reason = "ok", ""
    measurement.facts = [subject.facts | {"peak_memory_bytes": backend.peak_memory()}]
    if benchmark.stats is not None:  # there is none under --benchmark-disable
        measurement.samples = [(0, 0, seconds) for seconds in benchmark.stats.stats.data]
    return result


def write(results: Path, measurements: list[Measurement], backend: Backend) -> Path:
    """Write the run of a session on one backend; return its folder."""
    return _write(results, f"pytest-{backend.name}", measurements, {backend.spec: backend.describe()})[0]


def hand_over(file: Path, measurements: list[Measurement], backend: Backend) -> None:
    """Write what a session measured to a file, for the process that began it."""
    entries = [
        {
            "case": asdict(own.case),
            "status": own.status,
            "reason": own.reason,
            "facts": own.facts[0] if own.facts else {},
            "samples": [[number, seconds] for _, number, seconds in own.samples],
        }
        for own in measurements
    ]
    file.write_text(json.dumps({"describe": backend.describe(), "entries": entries}), encoding="utf-8")


def run_all(config: pytest.Config, asked: str) -> int:
    """Run the session on each backend in a process of its own, pass after pass; write the run and print the comparison.

    The first pass is shown, and is all that pytest-benchmark saves; its results are one JSON file where one is asked for. Returns
    pytest's exit status, the worst of all sessions.
    """
    names = usable_specs() if asked == "all" else ["numpy:cpu", *(name.strip() for name in asked.split(","))]
    specs = list(dict.fromkeys(backends.get(name).spec for name in names))
    results, passes = config.getoption("--array-results"), config.getoption("--array-passes")
    found: dict[tuple[Case, str], Measurement] = {}
    described: dict[str, Row] = {}
    statuses: dict[str, list[int]] = {spec: [] for spec in specs}
    with sole_writer(results), tempfile.TemporaryDirectory() as scratch:
        pages = {spec: Path(scratch) / f"{number}.json" for number, spec in enumerate(specs)}
        for process in range(passes):
            for spec in random.Random(f"{SEED} {process}").sample(specs, len(specs)):
                print(f"\narraybench: {spec}, pass {process + 1} of {passes}", flush=True)
                handed = Path(scratch) / "session.json"
                extra = [f"--array-session={handed}", *(["--array-again", "-q"] if process else [])]
                if config.getoption("benchmark_json") and not process:
                    extra.append(f"--benchmark-json={pages[spec]}")
                arguments = [*map(str, config.invocation_params.args), *extra]
                statuses[spec].append(_session(arguments, spec, expected=next(iter(statuses[spec]), None)))
                if handed.exists():
                    described[spec] = _take_in(handed, process, spec, found)
                    handed.unlink()
            if not found:
                return _worst(statuses)
        if wanted := config.getoption("benchmark_json"):
            _join([page for page in pages.values() if page.exists()], Path(getattr(wanted, "name", wanted)))
        order = sorted(found.values(), key=lambda own: specs.index(own.spec))
        folder, summary = _write(results, "pytest", order, described)
    report.show(summary, terminal.printer())
    print(f"\n{folder / 'summary.csv'}")
    return _worst(statuses)


def _worst(statuses: dict[str, list[int]]) -> int:
    """Return the highest exit status of all sessions; one that a signal ended, a number below 0, failed."""
    return max(1 if status < 0 else status for own in statuses.values() for status in own)


def _session(arguments: list[str], spec: str, expected: int | None) -> int:
    """Run pytest on a backend and return its exit status. One that repeats another is only shown where it ends otherwise."""
    environment = os.environ | {VARIABLE: spec, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, "-m", "pytest", *arguments]
    if expected is None:
        return subprocess.run(command, env=environment).returncode
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != expected:
        print(done.stdout, done.stderr)
    return done.returncode


def _take_in(file: Path, process: int, spec: str, found: dict[tuple[Case, str], Measurement]) -> Row:
    """Add what a session measured; return what its backend says of itself."""
    handed = json.loads(file.read_text(encoding="utf-8"))
    for entry in handed["entries"]:
        case = Case(**entry.pop("case"))
        found.setdefault((case, spec), Measurement(case, spec)).add(process, entry)
    return handed["describe"]


def _join(pages: list[Path], file: Path) -> None:
    """Write the JSON of several sessions of pytest-benchmark as that of one."""
    sessions = [json.loads(page.read_text(encoding="utf-8")) for page in pages]
    joined = sessions[0] | {"benchmarks": [one for session in sessions for one in session["benchmarks"]]}
    file.write_text(json.dumps(joined, indent=4), encoding="utf-8")


def _write(results: Path, what: str, measurements: list[Measurement], described: dict[str, Row]) -> tuple[Path, Any]:
    groups = list(dict.fromkeys(own.case.group for own in measurements))
    measurements = sorted(measurements, key=lambda own: groups.index(own.case.group))
    facts = machine.describe()
    run = Run(f"{run_id(None, facts['machine_id'])}-{what}", facts["machine_id"], described)
    folder = results / run.run_id
    summary = summarise(measurements, run)
    make_folder(folder)
    write_results(folder, summary, sample_rows(measurements, run), facts | {"backends": described})
    return folder, summary
