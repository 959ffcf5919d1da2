"""What the command lines of all commands have in common: errors of one sentence, numbers within bounds, how a help ends."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Never

WRONG_CALL, INTERRUPTED = 2, 130
EVERYWHERE = {
    WRONG_CALL: "a wrong call, or something is missing: one sentence on stderr says what",
    INTERRUPTED: "interrupted by Ctrl-C",
}
"""What these exit statuses mean, whatever the command."""


class Parser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong, and names what comes nearest to a word that it does not know.

    `declare` declares its options when they are first asked for: a command's module is not imported for another command.
    """

    def __init__(self, *arguments: Any, declare: Callable[[Parser], None] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._declare = declare

    def declared(self) -> Parser:
        """Return the parser with all its options."""
        declare, self._declare = self._declare, None
        if declare:
            declare(self)
        return self

    def error(self, message: str) -> Never:
        self.exit(WRONG_CALL, f"{self.prog}: {message}; {self.prog} --help tells more\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse what is left over here, where the command is known, not in the parser above it."""
        found, rest = super(Parser, self.declared()).parse_known_args(args, namespace)
        if rest:
            self.error(
                _unknown("option" if rest[0].startswith("-") else "argument", rest[0], self._option_string_actions)
            )
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = list(map(str, action.choices))
            told = f"{_unknown(action.metavar or 'value', value, known)}; there are {', '.join(known)}"
            if isinstance(action, argparse._SubParsersAction):
                self.error(told)
            raise argparse.ArgumentError(action, told)


def _unknown(what: object, word: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(word.partition("=")[0], list(known), 1)
    return f"unknown {what} {word}" + (f" (did you mean {nearest[0]}?)" if nearest else "")


def at_least(least: float, kind: Callable[[str], float] = int) -> Callable[[str], float]:
    """Return the type of an option that is a finite number of this kind, and no less."""

    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            whole = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text} is not {whole} of {least:g} or more")
        return value

    return number


def add_help(parser: argparse.ArgumentParser, examples: Sequence[tuple[str, str]], statuses: dict[int, str]) -> None:
    """End a command's help with examples, as (line, what it does), and with what each exit status means.

    `statuses` has those that are the command's own; it may say more of one that is the same everywhere.
    """
    meanings = dict(sorted((EVERYWHERE | statuses).items()))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(len(line) for line, _ in examples)
    parser.epilog = "\n".join(
        [
            "examples:",
            *(f"  {line:{width}}  {purpose}" for line, purpose in examples),
            "",
            "exit status:",
            *(f"  {status:<4} {meaning}" for status, meaning in meanings.items()),
        ]
    )
