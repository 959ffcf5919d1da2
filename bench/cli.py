"""The command `arraybench`, which is `python -m bench`. Each subcommand declares its own options."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Sequence

from backends import ArraybenchError
from bench import completion, crossover, run, scaling
from bench.arguments import INTERRUPTED, WRONG_CALL, Parser, add_help
from bench.compare import command as compare
from bench.conform import command as conform
from bench.doctor import command as doctor
from bench.explain import command as explain
from bench.page import command as page
from bench.selftest import command as selftest

COMMANDS = {
    "run": (run.add_arguments, "measure every case on every usable backend, and write the tables"),
    "compare": (compare.add_arguments, "tell what is faster or slower in one run than in another"),
    "report": (page.add_arguments, "write one page of one run or several, with charts; it opens offline"),
    "conform": (conform.add_arguments, "check that a backend keeps to what every backend must"),
    "doctor": (doctor.add_arguments, "say what holds this machine back, and what to type"),
    "scaling": (scaling.add_arguments, "how a time grows with rows, batch and width: a fitted exponent for each"),
    "crossover": (crossover.add_arguments, "the size from which on one backend is faster than another, by bisection"),
    "explain": (explain.add_arguments, "a speed-up as the product of its steps, from the loop to the GPU"),
    "selftest": (selftest.add_arguments, "try the benchmark itself: its verdicts, its gate, what a killed run loses"),
    "completion": (completion.add_arguments, "print a script by which a shell completes commands, options and files"),
}
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
    options = parser().parse_args(arguments)
    try:
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
    for name, (add_arguments, purpose) in COMMANDS.items():
        add_arguments(commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."))
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("arraybench")
    except importlib.metadata.PackageNotFoundError:  # `python -m bench` in a checkout that is not installed
        return "unknown: this checkout is not installed"
