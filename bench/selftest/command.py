"""The command `arraybench selftest`: experiments that anyone can repeat, each with a table of what it found."""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.table import Table

import backends
from backends import ArraybenchError
from bench import jsonable, terminal
from bench.arguments import add_help, at_least
from bench.driver import usable_specs
from bench.experiments import add_folder_options, new_folder, save
from bench.selftest import crossovers, kills, sabotage, streaming, verdicts

SEED = 20240218
TRIALS, PROCESSES, PYTEST_TRIALS = 16, 16, 3
EXAMPLES = {
    "verdicts": (
        ("arraybench selftest verdicts", "hours: many pairs of every kind"),
        ("arraybench selftest verdicts --trials 2 --only small", "some of them"),
    ),
    "kills": (("arraybench selftest kills --runs 3", "three runs instead of a hundred"),),
    "streaming": (("arraybench selftest streaming --rows 10000 100000", "few rows"),),
    "crossover": (("arraybench selftest crossover --seeds 10", "ten searches of each kind"),),
    "gate": (("arraybench selftest gate", "every fault on every backend"),),
}
WRONG = {
    "verdicts": "a goal is missed",
    "kills": "a run lost something",
    "streaming": "a goal is missed",
    "crossover": "a goal is missed",
    "gate": "a fault passes the gate",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(
        parser,
        [example for examples in EXAMPLES.values() for example in examples],
        {0: "the experiment found nothing wrong", 1: "it did: a goal is missed, a run lost something, a fault passes"},
    )
    experiments = parser.add_subparsers(required=True, metavar="experiment")
    tried = _experiment(
        experiments, "verdicts", _verdicts, "how often verdicts are wrong on equals and planted slow-downs"
    )
    tried.add_argument(
        "--trials", type=at_least(1), default=TRIALS, metavar="N", help="trials of every case (%(default)s)"
    )
    tried.add_argument(
        "--processes", type=at_least(2), default=PROCESSES, metavar="N", help="processes a label at most (%(default)s)"
    )
    tried.add_argument(
        "--pytest-trials",
        type=at_least(0),
        default=PYTEST_TRIALS,
        metavar="N",
        help="trials under pytest-benchmark (%(default)s)",
    )
    tried.add_argument("--only", metavar="KIND", help="cases of one kind, as in 'BLAS, all threads'")
    killed = _experiment(experiments, "kills", _kills, "kill real runs at random moments: nothing may be lost")
    killed.add_argument(
        "--runs", type=at_least(1), default=kills.RUNS, metavar="N", help="how many runs to kill (%(default)s)"
    )
    killed.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (%(default)s)")
    read = _experiment(
        experiments, "streaming", _streaming, "train from disk: what do many rows cost in memory and speed?"
    )
    read.add_argument(
        "--rows", type=at_least(1), nargs=2, default=streaming.ROWS, metavar=("FEW", "MANY"), help="(%(default)s)"
    )
    sought = _experiment(
        experiments, "crossover", _crossover, "how far off crossovers are that are planted among noise"
    )
    sought.add_argument(
        "--seeds", type=at_least(1), default=crossovers.SEEDS, metavar="N", help="searches of each (%(default)s)"
    )
    _experiment(experiments, "gate", _gate, "whether the gate refuses every planted fault, on every backend")


def _experiment(
    experiments: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    purpose: str,
) -> argparse.ArgumentParser:
    parser = experiments.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
    add_help(parser, EXAMPLES[name], {0: "nothing is wrong", 1: WRONG[name]})
    parser.set_defaults(command=command)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    add_folder_options(parser)
    return parser


def _verdicts(options: argparse.Namespace) -> int:
    """Try the verdicts; return 1 when a goal is missed."""
    every = verdicts.settings()
    tried = [setting for setting in every if options.only in (None, setting.kind)]
    if not tried:
        raise ArraybenchError(f"--only {options.only}: no such kind; there are {', '.join(own.kind for own in every)}")
    folder = new_folder(options, "verdicts")
    rows: list[verdicts.Row] = []
    with terminal.bars().status("starting") as status:
        for number in range(max(options.trials, options.pytest_trials)):
            status.update(f"trial {number + 1} of {options.trials}")
            if number < options.trials:
                rows += verdicts.trial(tried, number, options.processes, SEED)
            if number < options.pytest_trials:
                rows += verdicts.pytest_trial(tried, number)
            save(folder / "verdicts.csv", pd.DataFrame(rows))
    frame = pd.DataFrame(rows)
    return _tell(options, verdicts.summary(frame), folder / "verdicts.csv", verdicts.missed(frame))


def _gate(options: argparse.Namespace) -> int:
    """Plant every fault on every backend; return 1 when one passes the gate."""
    folder = new_folder(options, "gate")
    usable = [found for found in backends.status() if found.usable]
    rows: list[dict[str, object]] = []
    with terminal.bars().status("starting") as status:
        for found in usable:
            spec = f"{found.name}:{found.devices[0] if found.timed else found.devices[-1]}"
            for row in sabotage.rejections(backends.get(spec)):
                rows.append(row)
                status.update(f"{spec}: {len(rows)} planted")
            save(folder / "gate.csv", pd.DataFrame(rows))
    frame = pd.DataFrame(rows)
    counts = frame.groupby("backend", sort=False).agg(
        faults=("fault", "nunique"), planted=("fault", "size"), rejected=("rejected", "sum")
    )
    passed = frame[~frame["rejected"].astype(bool)]
    missed = [f"{row.fault} in {row.case} on {row.backend} passed the gate" for row in passed.itertuples()]
    return _tell(options, counts.reset_index(), folder / "gate.csv", missed)


def _crossover(options: argparse.Namespace) -> int:
    """Search for planted crossovers; return 1 when a goal is missed."""
    folder = new_folder(options, "crossover")
    rows: list[crossovers.Row] = []
    with terminal.bars().status("starting") as status:
        for planted, noise, limit in itertools.product(crossovers.PLANTED, crossovers.NOISES, crossovers.LIMITS):
            status.update(f"{planted.name}, noise of {noise:.0%}, {limit} processes at most")
            rows += crossovers.trials(planted, noise, limit, options.seeds)
            save(folder / "crossovers.csv", pd.DataFrame(rows))
    frame = pd.DataFrame(rows)
    return _tell(options, crossovers.summary(frame), folder / "crossovers.csv", crossovers.missed(frame))


def _kills(options: argparse.Namespace) -> int:
    """Kill runs and resume them; return 1 when one lost something."""
    kills.require_proc()
    folder = new_folder(options, "kills")
    with terminal.bars().status("how long do they take when they are left alone?") as status:
        table = kills.experiment(folder, options.runs, options.seed, kills.plans(usable_specs()), status.update)
    lost = table[table["outcome"] != "ok"]
    missed = [f"run {row.run}, killed at {row.moment}: {row.outcome}" for row in lost.itertuples()]
    return _tell(options, table, folder / "kills.csv", missed, kills.sentence(table))


def _streaming(options: argparse.Namespace) -> int:
    """Train from disk and from memory; return 1 when a goal is missed."""
    if options.rows[0] >= options.rows[1]:
        raise ArraybenchError(f"--rows {options.rows[0]} {options.rows[1]}: give few rows, then more")
    folder = new_folder(options, "streaming")
    rows: list[streaming.Row] = []
    with terminal.bars().status("starting") as status, tempfile.TemporaryDirectory() as files:
        for row in streaming.experiment(Path(files), usable_specs(), options.rows):
            rows.append(row)
            status.update(f"{row['backend']}: {row['rows']:,} rows in {row['place']}")
            save(folder / "streaming.csv", pd.DataFrame(rows))
    frame = pd.DataFrame(rows)
    return _tell(options, frame.drop(columns="loss"), folder / "streaming.csv", streaming.missed(frame))


def _tell(options: argparse.Namespace, frame: pd.DataFrame, file: Path, missed: list[str], sentence: str = "") -> int:
    """Print what an experiment found: its table, or the sentence that it comes to, and what is missed; return the exit status."""
    exit_status = int(bool(missed))
    if options.json:
        told = {"folder": file.parent, "found": frame, "missed": missed, "exit_status": exit_status}
        print(jsonable.dumps(told))
        return exit_status
    if sentence:
        print(sentence, file, sep="\n")
    else:
        _show(frame, file)
    for each in missed:
        print(f"missed: {each}")
    return exit_status


def _show(frame: pd.DataFrame, file: Path) -> None:
    console, table = terminal.printer(), Table(box=None, pad_edge=False)
    for name in frame.columns:
        table.add_column(str(name).replace("_", " "), justify="left" if frame[name].dtype == object else "right")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.1%}" if isinstance(value, float) else str(value) for value in row))
    console.print(table, f"\n{file}", soft_wrap=True)
