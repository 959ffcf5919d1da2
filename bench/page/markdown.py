"""A summary for a pull request in Markdown: the verdicts with their intervals, what went wrong, the machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.answers import Answer, by_question, controls, not_had
from bench.page.runs import Run
from bench.page.tables import MACHINE, wrong
from bench.wording import escaped

FACTS = ("Processor", "Cores", "Memory", "GPUs", "System", "Python")


def summary(runs: Sequence[Run]) -> str:
    """Return the summary of the runs, one after the other."""
    return "\n\n".join("\n".join(_run(run)) for run in runs) + "\n"


def _run(run: Run) -> Iterator[str]:
    yield f"### {escaped(run.label)}"
    yield ""
    yield "| question | here | times faster | verdicts | what |"
    yield "|---|---|---|---|---|"
    answered = by_question(run.told)
    for question, found in answered.items():
        for word, *cells in map(_cells, found) if found else [["Not measured", "", "", ""]]:
            yield f"| {' | '.join(map(escaped, (question, f'**{word}**', *cells)))} |"
    for line in (*controls(run.rows, answered), *not_had(run.told)):
        yield ""
        yield escaped(line)
    if lost := wrong([run]):
        yield ""
        yield f"<details><summary>{len(lost)} without a figure</summary>"
        yield ""
        yield from (f"- {escaped(f'{case}: {status}: {reason}')}" for case, status, reason in lost)
        yield ""
        yield "</details>"
    versions = [f"{spec} {told.get('version')}" for spec, told in run.machine.get("backends", {}).items()]
    yield ""
    yield escaped("; ".join([f"{fact}: {MACHINE[fact](run.machine)}" for fact in FACTS] + versions))


def _cells(answer: Answer) -> list[str]:
    what = f"{answer.title}; {answer.remarks}" if answer.remarks else answer.title
    return [answer.word, answer.reach, answer.counted, what]
