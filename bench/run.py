"""`arraybench run`: every case on every backend that works here, the tables, and what a person reads of them."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import backends
from backends import ArraybenchError
from bench import driver, functions, jsonable, machine, peers, report, terminal
from bench.arguments import INTERRUPTED, WRONG_CALL, add_help, at_least
from bench.cases import SUITES, matching, quick
from bench.journal import Journal, Plan, sole_writer
from bench.results import Run, run_id, sample_rows, summarise
from bench.table import ResultsError, write_results

BUDGET_S = 0.25
TIME_S = 140.0
SEED = 20240218
RESULTS = Path("results")
LADDER, PEERS, PRECISION, LARGE = SUITES
EXAMPLES = (
    ("arraybench run", "everything on every backend that works here"),
    ("arraybench run --quick --name old", "a few cases, into results/old"),
    ("arraybench run my_functions.py", "functions of your own, declared by bench.case"),
    ("arraybench run --backends numpy,jax --only 'forward/digits*'", "some cases on two backends"),
    ("arraybench run --suite peers", "beside Keras, PyTorch, scikit-learn, ..."),
    ("arraybench run --resume old", "finish a run that was interrupted"),
)
STATUSES = {
    0: "measured; what is not there or took too long has a row that says so",
    1: "measured, but a case failed or its result is wrong (mismatch)",
    INTERRUPTED: "interrupted by Ctrl-C; --resume finishes the run",
}
PLANNED = {"--only": "cases", "--backends": "specs", "--budget": "budget_s", "--time": "time_s"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, STATUSES)
    parser.set_defaults(command=run)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a file of Python with functions of your own, by bench.case"
    )
    what.add_argument(
        "--suite",
        choices=tuple(SUITES),
        help=f"what to measure: the {LADDER} (default), this project's network against its {PEERS}, in every {PRECISION}, or "
        f"{LARGE} ones",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few cases of the suite that tell most, and no time for narrow intervals"
    )
    parser.add_argument(
        "--backends", metavar="A,B", help="backends, and peers, to compare, as ARRAY_BACKEND takes them (default: all)"
    )
    parser.add_argument("--only", metavar="PATTERN", help="cases to run, as in 'forward/*' or '*/digits*/matmul'")
    parser.add_argument(
        "--budget",
        type=at_least(0, float),
        metavar="S",
        help=f"the longest that one example may take (default: {BUDGET_S:g})",
    )
    parser.add_argument(
        "--time",
        type=at_least(0, float),
        metavar="S",
        help=f"how long to go on for narrower intervals (default: {TIME_S:g})",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where the run's folder is made")
    parser.add_argument("--json", action="store_true", help="print the table's rows as one JSON object")
    folder = parser.add_mutually_exclusive_group()
    folder.add_argument("--name", help="the run's folder (default: time and machine)")
    folder.add_argument("--resume", metavar="NAME", help="finish the run of that name, which was interrupted")


def run(options: argparse.Namespace) -> int:
    """Measure, write and print; return 1 when a case failed or mismatched, else 0."""
    facts = machine.describe()
    plan = None if options.resume is not None else _plan(options)
    with sole_writer(options.results):
        if plan:
            journal = Journal.begin(options.results / run_id(options.name, facts["machine_id"]), plan, facts)
        else:
            journal = _resume(options, facts)
        try:
            summary = measure(journal)
        except (KeyboardInterrupt, ResultsError) as error:
            name, results = journal.folder.relative_to(options.results), options.results
            elsewhere = f" --results {shlex.quote(str(results))}" if results != RESULTS else ""
            rest = f"to finish it: arraybench run --resume {shlex.quote(str(name))}{elsewhere}"
            print(f"\narraybench: {str(error) or 'interrupted'}; {rest}", file=sys.stderr)
            return INTERRUPTED if isinstance(error, KeyboardInterrupt) else WRONG_CALL
    if options.json:
        print(jsonable.dumps({"folder": journal.folder, "rows": summary}))
    else:
        console = terminal.printer()
        report.show(summary, console)
        console.print(f"\n{journal.folder / 'summary.csv'}", soft_wrap=True, markup=False, highlight=False)
    return int(summary["status"].isin(["mismatch", "failed"]).any())


def _resume(options: argparse.Namespace, facts: dict[str, Any]) -> Journal:
    """Return the journal of the run to finish; raise where it cannot be what the options say, or a backend is gone."""
    journal = Journal.resume(options.results / options.resume, facts)
    asked = _plan(options, journal.plan)
    other = [option for option, field in PLANNED.items() if getattr(asked, field) != getattr(journal.plan, field)]
    if options.suite and not _belongs(journal.plan, options.suite):
        other.insert(0, "--suite")
    if options.file and options.file.resolve() != _source(journal.plan):
        other.insert(0, str(options.file))
    if other:
        raise ArraybenchError(
            f"{other[0]} is not what {journal.folder} was begun with; leave it out to finish that run"
        )
    for spec in journal.plan.specs:
        if peers.is_peer(spec):
            continue
        try:
            backends.get(spec)
        except backends.BackendError as error:
            raise ArraybenchError(f"{journal.folder} measures on {spec}, and cannot be finished: {error}") from error
    return journal


def _plan(options: argparse.Namespace, begun: Plan | None = None) -> Plan:
    """Return the plan that the options ask for; what they leave open is as in the plan that was begun, or the default."""
    before = begun or Plan((), (), BUDGET_S, TIME_S, SEED)
    suite = options.suite or next((name for name in SUITES if _belongs(before, name)), LADDER)
    file = options.file or (None if options.suite else _source(before))
    known = functions.cases(file) if file else SUITES[suite]()
    if options.quick and not file:
        known = quick(known)
    another = (options.file and options.file.resolve() != _source(before)) or not (file or _belongs(before, suite))
    as_begun = begun and not (another or options.only or options.quick)
    time_s = 0.0 if options.quick and options.time is None else options.time
    pattern = "*" if options.only is None else options.only
    return Plan(
        before.cases if as_begun else tuple(matching(known, pattern, f"--only {options.only}: no case")),
        before.specs if begun and options.backends is None else _specs(suite, options.backends),
        before.budget_s if options.budget is None else options.budget,
        before.time_s if time_s is None else time_s,
        before.seed,
    )


def measure(journal: Journal) -> report.Summary:
    """Measure what is missing, under a progress bar; write the tables and return the summary."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=terminal.bars(), transient=True) as bar:
        task = bar.add_task("starting", total=journal.plan.time_s)

        def show(process: int, group: str, seconds: float) -> None:
            bar.update(task, completed=seconds, description=f"pass {process + 1}  {escape(group)}")

        measurements = driver.measure(journal, show)
    run = Run(journal.folder.name, journal.machine["machine_id"], journal.backends, journal.roofs)
    summary = summarise(measurements, run)
    machine_facts = journal.machine | {"backends": journal.backends, "roofs": journal.roofs}
    write_results(journal.folder, summary, sample_rows(measurements, run), machine_facts)
    journal.close()
    return summary


def _belongs(plan: Plan, suite: str) -> bool:
    return set(plan.cases) <= set(SUITES[suite]())


def _specs(suite: str, names: str | None) -> tuple[str, ...]:
    """Return the backends and peers to compare, each on one device; NumPy, which they are compared with, always first."""
    if names is None:
        return (*driver.usable_specs(), *(peers.specs() if suite == PEERS else ()))
    return tuple(dict.fromkeys(["numpy:cpu", *(_spec(suite, name.strip()) for name in names.split(","))]))


def _spec(suite: str, name: str) -> str:
    if suite == PEERS and peers.is_peer(name):
        return f"{name.partition(':')[0]}:cpu"
    return driver.timed(name).spec


def _source(plan: Plan) -> Path | None:
    """Return the file whose functions a plan measures; None where it is a suite."""
    return next((Path(case.source) for case in plan.cases if case.source), None)
