"""The command `arraybench`, which is `python -m bench`."""

from __future__ import annotations

import argparse
import fnmatch
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import backends
from backends import ArraybenchError
from bench import driver, machine, report
from bench.cases import Case, all_cases
from bench.results import Run, run_id, sample_rows, summarise
from bench.table import ResultsError, write_results

BUDGET_S = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 when a case failed or mismatched, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except ArraybenchError as error:
        print(f"arraybench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("arraybench: interrupted; nothing was written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="arraybench", description="Does vectorising, compiling or a GPU pay, here?")
    parser.add_argument("--version", action="version", version=importlib.metadata.version("arraybench"))
    commands = parser.add_subparsers(required=True, metavar="command")
    run = commands.add_parser("run", help="measure every case on every usable backend, and write the tables")
    run.set_defaults(command=_run)
    run.add_argument(
        "--backends", metavar="A,B", help="backends to compare, as ARRAY_BACKEND takes them (default: all)"
    )
    run.add_argument("--only", metavar="PATTERN", help="cases to run, as in 'forward/*' or '*/digits*/matmul'")
    run.add_argument(
        "--budget", type=float, default=BUDGET_S, metavar="S", help="the longest that one example may take"
    )
    run.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where the run's folder is made"
    )
    run.add_argument("--name", help="the run's folder (default: time and machine)")
    return parser


def _run(options: argparse.Namespace) -> int:
    console = Console()
    specs = _specs(options.backends)
    cases = _cases(options.only)
    facts = machine.describe()
    name = run_id(options.name, facts["machine_id"])
    folder = options.results / name
    if (folder / "summary.csv").exists():
        raise ResultsError(f"{folder} holds a run already; choose another --name")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=len(cases))
        measurements, descriptions = driver.measure(
            cases, specs, options.budget, lambda case: progress.update(task, advance=1, description=case.id)
        )
    run = Run(name, facts["machine_id"], descriptions)
    summary = summarise(measurements, run)
    write_results(folder, summary, sample_rows(measurements, run), facts | {"backends": descriptions})
    report.show(summary, console)
    console.print(f"\n{folder / 'summary.csv'}", soft_wrap=True, highlight=False)
    return int(summary["status"].isin(["mismatch", "failed"]).any())


def _specs(names: str | None) -> list[str]:
    """Return the backends to compare, each on one device; NumPy, which the others are compared with, always first."""
    if names is None:
        return driver.usable_specs()
    chosen = [backends.get(name) for name in names.split(",")]
    if untimed := [backend.name for backend in chosen if not backend.timed]:
        raise ArraybenchError(f"{', '.join(untimed)} is for tests only: its times mean nothing")
    return list(dict.fromkeys(["numpy:cpu", *(backend.spec for backend in chosen)]))


def _cases(pattern: str | None) -> list[Case]:
    cases = [case for case in all_cases() if pattern is None or fnmatch.fnmatch(case.id, pattern)]
    if not cases:
        raise ArraybenchError(f"--only {pattern}: no case has such a name; they are like {all_cases()[0].id}")
    return cases
