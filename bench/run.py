"""`arraybench run`: every case on every backend that works here, the tables, and what a person reads of them."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import backends
from backends import ArraybenchError
from bench import driver, machine, report
from bench.cases import Case, all_cases
from bench.journal import Journal, Plan, sole_writer
from bench.results import Run, run_id, sample_rows, summarise
from bench.table import write_results

BUDGET_S = 1.0
TIME_S = 140.0
SEED = 20240218


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.set_defaults(command=run)
    parser.add_argument(
        "--backends", metavar="A,B", help="backends to compare, as ARRAY_BACKEND takes them (default: all)"
    )
    parser.add_argument("--only", metavar="PATTERN", help="cases to run, as in 'forward/*' or '*/digits*/matmul'")
    parser.add_argument(
        "--budget", type=float, default=BUDGET_S, metavar="S", help="the longest that one example may take"
    )
    parser.add_argument(
        "--time", type=float, default=TIME_S, metavar="S", help="how long to go on for narrower intervals (%(default)s)"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where the run's folder is made"
    )
    parser.add_argument("--name", help="the run's folder (default: time and machine)")
    parser.add_argument("--resume", metavar="NAME", help="finish the run of that name, which was interrupted")


def run(options: argparse.Namespace) -> int:
    """Measure, write and print; return 1 when a case failed or mismatched, else 0."""
    facts = machine.describe()
    plan = Plan(_cases(options.only), _specs(options.backends), options.budget, options.time, SEED)
    with sole_writer(options.results):
        if options.resume:
            journal = Journal.resume(options.results / options.resume, facts)
        else:
            journal = Journal.begin(options.results / run_id(options.name, facts["machine_id"]), plan, facts)
        try:
            summary = measure(journal)
        except KeyboardInterrupt:
            print(
                f"\narraybench: interrupted; to finish it: arraybench run --resume {journal.folder.name}",
                file=sys.stderr,
            )
            return 130
    console = Console()
    report.show(summary, console)
    console.print(f"\n{journal.folder / 'summary.csv'}", soft_wrap=True, highlight=False)
    return int(summary["status"].isin(["mismatch", "failed"]).any())


def measure(journal: Journal) -> report.Summary:
    """Measure what is missing, under a progress bar; write the tables and return the summary."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=journal.plan.time_s)

        def show(process: int, group: str, seconds: float) -> None:
            progress.update(task, completed=seconds, description=f"pass {process + 1}  {group}")

        measurements = driver.measure(journal, show)
    run = Run(journal.folder.name, journal.machine["machine_id"], journal.backends, journal.roofs)
    summary = summarise(measurements, run)
    machine_facts = journal.machine | {"backends": journal.backends, "roofs": journal.roofs}
    write_results(journal.folder, summary, sample_rows(measurements, run), machine_facts)
    journal.close()
    return summary


def _specs(names: str | None) -> tuple[str, ...]:
    """Return the backends to compare, each on one device; NumPy, which the others are compared with, always first."""
    if names is None:
        return tuple(driver.usable_specs())
    chosen = [backends.get(name) for name in names.split(",")]
    if untimed := [backend.name for backend in chosen if not backend.timed]:
        raise ArraybenchError(f"{', '.join(untimed)} is for tests only: its times mean nothing")
    return tuple(dict.fromkeys(["numpy:cpu", *(backend.spec for backend in chosen)]))


def _cases(pattern: str | None) -> tuple[Case, ...]:
    cases = tuple(case for case in all_cases() if pattern is None or fnmatch.fnmatch(case.id, pattern))
    if not cases:
        raise ArraybenchError(f"--only {pattern}: no case has such a name; they are like {all_cases()[0].id}")
    return cases
