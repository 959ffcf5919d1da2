"""The command `arraybench`, which is `python -m bench`."""

from __future__ import annotations

import argparse
import fnmatch
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import backends
from backends import ArraybenchError
from bench import compare, compare_report, doctor, driver, machine, report
from bench.cases import Case, all_cases
from bench.journal import Journal, Plan, sole_writer
from bench.results import Run, run_id, sample_rows, summarise
from bench.table import write_results

BUDGET_S = 1.0
TIME_S = 140.0
SEED = 20240218


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    It is 0, 1 when what was asked about is wrong (a case that failed or mismatched, one that is slower beyond doubt, the
    machine), 2 for a wrong call.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except ArraybenchError as error:
        print(f"arraybench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("arraybench: interrupted", file=sys.stderr)
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
        "--time", type=float, default=TIME_S, metavar="S", help="how long to go on for narrower intervals (%(default)s)"
    )
    run.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where the run's folder is made"
    )
    run.add_argument("--name", help="the run's folder (default: time and machine)")
    run.add_argument("--resume", metavar="NAME", help="finish the run of that name, which was interrupted")
    _add_compare(commands)
    doctor.add_arguments(commands.add_parser("doctor", help="say what holds this machine back, and what to type"))
    return parser


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "compare",
        help="tell what is faster or slower in one run than in another",
        epilog="Exit status: 0 when nothing is slower, 1 when a case is slower beyond doubt or no longer right, "
        "2 for a wrong call.",
    )
    parser.set_defaults(command=_compare)
    for name in ("old", "new"):
        parser.add_argument(name, type=Path, metavar=name.upper(), help=f"folder of the {name} run, or its summary.csv")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--other-machine", action="store_true", help="compare runs of two machines all the same")
    parser.add_argument("--only", metavar="PATTERN", help="cases to compare, as for run")


def _compare(options: argparse.Namespace) -> int:
    old, new = compare.Tables.read(options.old), compare.Tables.read(options.new)
    found = compare.compare(old, new, options.only, options.other_machine)
    if options.json:
        print(compare_report.as_json(found))
    else:
        compare_report.show(found, Console())
    return found.exit_status


def _run(options: argparse.Namespace) -> int:
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
