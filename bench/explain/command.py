"""The command `arraybench explain`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import terminal
from bench.arguments import add_help
from bench.compare.changes import Tables
from bench.explain.picture import save_picture
from bench.explain.report import as_json, show
from bench.explain.steps import explain

EXAMPLES = (
    ("arraybench explain results/old", "every workload on every network of a run"),
    ("arraybench explain results/old --workload forward --network 'digits*'", "some of them"),
    ("arraybench explain results/old --picture waterfall.svg", "and draw it"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, {0: "explained"})
    parser.set_defaults(command=run)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or its summary.csv")
    parser.add_argument(
        "--network", default="*", metavar="N", help="a network, or a pattern like 'digits*' (default: all)"
    )
    parser.add_argument("--workload", default="*", metavar="W", help="a workload, as in forward (default: all)")
    parser.add_argument("--backend", metavar="B", help="the library after NumPy, as in jax (default: the fastest)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw a waterfall: .svg, .png or .html")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def run(options: argparse.Namespace) -> int:
    """Explain, draw and print."""
    explained = explain(Tables.read(options.run), options.network, options.workload, options.backend)
    if options.picture:
        save_picture(explained, options.picture)
    if options.json:
        print(as_json(explained))
    else:
        show(explained, terminal.printer())
    return 0
