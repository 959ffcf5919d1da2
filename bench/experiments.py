"""What experiments have in common: a folder of their own, the options that name it, and tables that are written whole."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from bench import machine
from bench.results import run_id
from bench.table import make_folder, write_whole


def add_folder_options(parser: argparse.ArgumentParser) -> None:
    """Declare where an experiment's folder is made, and its name."""
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where its folder is made")
    parser.add_argument("--name", help="the folder's name (default: time, machine and experiment)")


def new_folder(options: argparse.Namespace, experiment: str) -> Path:
    """Return a new folder for an experiment, with what a reader must know of the machine in it."""
    facts = machine.describe()
    folder = options.results / (options.name or f"{run_id(None, facts['machine_id'])}-{experiment}")
    make_folder(folder)
    write_whole(folder / "machine.json", json.dumps(facts, indent=2) + "\n")
    return folder


def save(file: Path, frame: pd.DataFrame) -> None:
    """Write a table of an experiment whole or not at all."""
    write_whole(file, frame.to_csv(index=False))
