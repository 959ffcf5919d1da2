"""`arraybench completion`: a script by which bash, zsh or tcsh completes commands, options, choices and files.

The script is static: nothing of this package is loaded when a key is pressed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab

from bench.arguments import Parser, add_help

EXAMPLES = (
    ('eval "$(arraybench completion bash)"', "bash, this session"),
    ("arraybench completion bash >> ~/.bashrc", "bash, from the next on"),
    ('arraybench completion zsh > "${fpath[1]}/_arraybench"', "zsh"),
    ("arraybench completion tcsh >> ~/.cshrc", "tcsh"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, {0: "printed"})
    parser.set_defaults(command=run)
    parser.add_argument(
        "shell", choices=shtab.SUPPORTED_SHELLS, metavar="SHELL", help=", ".join(shtab.SUPPORTED_SHELLS)
    )


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    for action in _actions(options.parser):
        if action.type is Path:
            kind = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]  # where shtab looks for it
    print(shtab.complete(options.parser, options.shell))
    return 0


def _actions(parser: Parser) -> Iterator[argparse.Action]:
    """Yield what a parser and the parsers of its commands take."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for own in action.choices.values():
                yield from _actions(own.declared())
