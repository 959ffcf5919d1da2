"""`ARRAY_BACKEND=jax pytest bench`: the cases under pytest-benchmark, on one backend, with a table of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

import backends
from bench import machine
from bench.measurement import Measurement
from bench.results import Run, run_id, sample_rows, summarise
from bench.table import make_folder, write_results

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
    """Return the session's measurements, which are written as a run when it ends."""
    return request.config.stash[MEASURED]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the run's folder and say where it is."""
    measurements = config.stash[MEASURED]
    if not measurements:
        return
    backend, facts = backends.get(), machine.describe()
    name = run_id(None, facts["machine_id"]) + f"-pytest-{backend.name}"
    run = Run(name, facts["machine_id"], {backend.spec: backend.describe()})
    folder = Path("results") / name
    make_folder(folder)
    write_results(
        folder, summarise(measurements, run), sample_rows(measurements, run), facts | {"backends": run.backends}
    )
    terminalreporter.write_line(f"results: {folder / 'summary.csv'}")
