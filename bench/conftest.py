"""`ARRAY_BACKEND=jax pytest bench`: the cases under pytest-benchmark, on one backend, with a table of their own."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import backends
from bench import machine
from bench.journal import sole_writer
from bench.measurement import Measurement
from bench.results import Run, run_id, sample_rows, summarise
from bench.table import ResultsError, make_folder, write_results

RESULTS = Path("results")
MEASURED = pytest.StashKey[list[Measurement]]()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a backend that cannot be used before anything is collected."""
    config.stash[MEASURED] = []
    try:
        chosen = backends.get()
    except backends.BackendError as error:
        raise pytest.UsageError(str(error)) from None
    if not chosen.timed:
        raise pytest.UsageError(f"{chosen.name} is for tests only: its times mean nothing")


@pytest.fixture(scope="session")
def backend() -> backends.Backend:
    """Return the backend that ARRAY_BACKEND names."""
    return backends.get()


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest) -> list[Measurement]:
    """Return the session's measurements, which are written as a run when it ends; until then no other run may write."""
    hold = contextlib.ExitStack()
    request.config.add_cleanup(hold.close)
    try:
        hold.enter_context(sole_writer(RESULTS))
    except ResultsError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    return request.config.stash[MEASURED]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the run's folder and say where it is."""
    measurements = config.stash[MEASURED]
    if not measurements:
        return
    backend, facts = backends.get(), machine.describe()
    name = run_id(None, facts["machine_id"]) + f"-pytest-{backend.name}"
    run = Run(name, facts["machine_id"], {backend.spec: backend.describe()})
    folder = RESULTS / name
    summary, samples = summarise(measurements, run), sample_rows(measurements, run)
    try:
        make_folder(folder)
        write_results(folder, summary, samples, facts | {"backends": run.backends})
    except ResultsError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
    terminalreporter.write_line(f"results: {folder / 'summary.csv'}")
