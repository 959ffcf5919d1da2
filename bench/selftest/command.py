"""The command `arraybench selftest`: experiments that anyone can repeat, each with a table of what it found."""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

import backends
from backends import ArraybenchError
from bench.driver import usable_specs
from bench.experiments import add_folder_options, new_folder, save
from bench.selftest import crossovers, kills, sabotage, streaming, verdicts

SEED = 20240218
TRIALS, PROCESSES, PYTEST_TRIALS = 16, 16, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    experiments = parser.add_subparsers(required=True, metavar="experiment")
    tried = _experiment(
        experiments, "verdicts", _verdicts, "how often verdicts are wrong on equals and planted slow-downs"
    )
    tried.add_argument("--trials", type=int, default=TRIALS, metavar="N", help="trials of every case (%(default)s)")
    tried.add_argument(
        "--processes", type=int, default=PROCESSES, metavar="N", help="processes a label at most (%(default)s)"
    )
    tried.add_argument(
        "--pytest-trials",
        type=int,
        default=PYTEST_TRIALS,
        metavar="N",
        help="trials under pytest-benchmark (%(default)s)",
    )
    tried.add_argument("--only", metavar="KIND", help="cases of one kind, as in 'BLAS, all threads'")
    killed = _experiment(experiments, "kills", _kills, "kill real runs at random moments: nothing may be lost")
    killed.add_argument("--runs", type=int, default=kills.RUNS, metavar="N", help="how many runs to kill (%(default)s)")
    killed.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (%(default)s)")
    read = _experiment(
        experiments, "streaming", _streaming, "train from disk: what do many rows cost in memory and speed?"
    )
    read.add_argument(
        "--rows", type=int, nargs=2, default=streaming.ROWS, metavar=("FEW", "MANY"), help="(%(default)s)"
    )
    sought = _experiment(
        experiments, "crossover", _crossover, "how far off crossovers are that are planted among noise"
    )
    sought.add_argument(
        "--seeds", type=int, default=crossovers.SEEDS, metavar="N", help="searches of each (%(default)s)"
    )
    _experiment(experiments, "gate", _gate, "whether the gate refuses every planted fault, on every backend")


def _experiment(
    experiments: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    purpose: str,
) -> argparse.ArgumentParser:
    parser = experiments.add_parser(name, help=purpose)
    parser.set_defaults(command=command)
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
    with Console(stderr=True).status("starting") as status:
        for number in range(max(options.trials, options.pytest_trials)):
            status.update(f"trial {number + 1} of {options.trials}")
            if number < options.trials:
                rows += verdicts.trial(tried, number, options.processes, SEED)
            if number < options.pytest_trials:
                rows += verdicts.pytest_trial(tried, number)
            save(folder / "verdicts.csv", pd.DataFrame(rows))
    frame = pd.DataFrame(rows)
    _show(verdicts.summary(frame), folder / "verdicts.csv")
    return _told(verdicts.missed(frame))


def _gate(options: argparse.Namespace) -> int:
    """Plant every fault on every backend; return 1 when one passes the gate."""
    folder = new_folder(options, "gate")
    usable = [found for found in backends.status() if found.usable]
    rows: list[dict[str, object]] = []
    with Console(stderr=True).status("starting") as status:
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
    _show(counts.reset_index(), folder / "gate.csv")
    passed = frame[~frame["rejected"].astype(bool)]
    return _told([f"{row.fault} in {row.case} on {row.backend} passed the gate" for row in passed.itertuples()])


def _crossover(options: argparse.Namespace) -> int:
    """Search for planted crossovers; return 1 when a goal is missed."""
    if options.seeds < 1:
        raise ArraybenchError(f"--seeds {options.seeds}: give 1 at least")
    folder = new_folder(options, "crossover")
    rows: list[crossovers.Row] = []
    with Console(stderr=True).status("starting") as status:
        for planted, noise, limit in itertools.product(crossovers.PLANTED, crossovers.NOISES, crossovers.LIMITS):
            status.update(f"{planted.name}, noise of {noise:.0%}, {limit} processes at most")
            rows += crossovers.trials(planted, noise, limit, options.seeds)
            save(folder / "crossovers.csv", pd.DataFrame(rows))
    frame = pd.DataFrame(rows)
    _show(crossovers.summary(frame), folder / "crossovers.csv")
    return _told(crossovers.missed(frame))


def _kills(options: argparse.Namespace) -> int:
    """Kill runs and resume them; return 1 when one lost something."""
    kills.require_proc()
    folder = new_folder(options, "kills")
    table = kills.experiment(folder, options.runs, options.seed, kills.plans(usable_specs()))
    print(kills.sentence(table), folder / "kills.csv", sep="\n")
    return int((table["outcome"] != "ok").any())


def _streaming(options: argparse.Namespace) -> int:
    """Train from disk and from memory; return 1 when a goal is missed."""
    folder = new_folder(options, "streaming")
    rows: list[streaming.Row] = []
    with Console(stderr=True).status("starting") as status, tempfile.TemporaryDirectory() as files:
        for row in streaming.experiment(Path(files), usable_specs(), options.rows):
            rows.append(row)
            status.update(f"{row['backend']}: {row['rows']:,} rows in {row['place']}")
            save(folder / "streaming.csv", pd.DataFrame(rows))
    frame = pd.DataFrame(rows)
    _show(frame.drop(columns="loss"), folder / "streaming.csv")
    return _told(streaming.missed(frame))


def _show(frame: pd.DataFrame, file: Path) -> None:
    console, table = Console(), Table(box=None, pad_edge=False)
    for name in frame.columns:
        table.add_column(str(name).replace("_", " "), justify="left" if frame[name].dtype == object else "right")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.1%}" if isinstance(value, float) else str(value) for value in row))
    console.print(table, f"\n{file}", soft_wrap=True)


def _told(sentences: list[str]) -> int:
    for sentence in sentences:
        print(f"missed: {sentence}")
    return int(bool(sentences))
