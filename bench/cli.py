"""The command `arraybench`, which is `python -m bench`. Each subcommand declares its own options."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from functools import partial

from backends import ArraybenchError
from bench.arguments import INTERRUPTED, WRONG_CALL, Parser, add_help

COMMANDS = {
    "run": ("bench.run", "measure every case on every usable backend, and write the tables"),
    "compare": ("bench.compare.command", "tell what is faster or slower in one run than in another"),
    "report": ("bench.page.command", "write one page of one run or several, with charts; it opens offline"),
    "conform": ("bench.conform.command", "check that a backend keeps to what every backend must"),
    "doctor": ("bench.doctor.command", "say what holds this machine back, and what to type"),
    "scaling": ("bench.scaling", "how a time grows with rows, batch and width: a fitted exponent for each"),
    "crossover": ("bench.crossover", "the size from which on one backend is faster than another, by bisection"),
    "profile": ("bench.profile", "what a case spends its time on: the kernels and the library's calls that it makes"),
    "explain": ("bench.explain.command", "a speed-up as the product of its steps, from the loop to the GPU"),
    "selftest": ("bench.selftest.command", "try the benchmark itself: its verdicts, its gate, what a killed run loses"),
    "completion": ("bench.completion", "print a script by which a shell completes commands, options and files"),
}
"""Each with its module, which is imported when the command is chosen, and its purpose."""
EXAMPLES = (
    ("arraybench run --quick", "measure a few cases on every backend that works here"),
    ("arraybench doctor", "what holds this machine back, and what to type"),
    ("arraybench run --help", "examples, options and exit statuses of a command"),
)
CLOSED = 141  # as a shell has it for SIGPIPE
STATUSES = {
    0: "done, and nothing is wrong",
    1: "done, and something is wrong: a command's own help says what it looks at",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status, which the help of each command explains."""
    for stream in (sys.stdout, sys.stderr):  # no sign of ours ends a command where the terminal has none for it
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        options = parser().parse_args(arguments)
        exit_status = options.command(options)
        sys.stdout.flush()
        return exit_status
    except ArraybenchError as error:
        print(f"arraybench: {error}", file=sys.stderr)
        return WRONG_CALL
    except KeyboardInterrupt:
        print("arraybench: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who read the output has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(prog="arraybench", description="Does vectorising, compiling or a GPU pay, here?")
    add_help(parser, EXAMPLES, STATUSES)
    parser.set_defaults(parser=parser)  # of which `completion` makes its script
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (module, purpose) in COMMANDS.items():
        description = f"{purpose[0].upper()}{purpose[1:]}."
        commands.add_parser(name, help=purpose, description=description, declare=partial(_declare, module))
    return parser


def _declare(module: str, parser: argparse.ArgumentParser) -> None:
    importlib.import_module(module).add_arguments(parser)


def _version() -> str:
    try:
        return importlib.metadata.version("arraybench")
    except importlib.metadata.PackageNotFoundError:  # `python -m bench` in a checkout that is not installed
        return "unknown: this checkout is not installed"
