"""What pays here, in words: the answers of `bench.report`, each beside the question that it answers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from bench import peers
from bench.comparison import OURS
from bench.page.runs import Run
from bench.report import OF_OURS, OVER_EAGER, OVER_FLOAT32, OVER_LOOP, PEER_TITLES, Answer, answers

VECTORISING = "Does writing it as a matrix product pay?"
COMPILING = "Does compiling pay?"
GPU = "Does the GPU pay?"
LIBRARY = "Does another library pay, on the CPU?"
PRECISION = "Does another precision than float32 pay?"
PEERS = "Is this project's network faster than what one would pick instead?"
THREE = (VECTORISING, COMPILING, GPU)


class Verdict(NamedTuple):
    """A question, the answer in a word or two, and the answer in figures; `answer` is None where nothing was measured."""

    question: str
    word: str
    answer: Answer | None


def verdicts(run: Run) -> list[Verdict]:
    """Return what a run says to every question, the three first; a question that it cannot answer is told too."""
    found = [Verdict(_question(answer), word(answer.counts), answer) for answer in answers(run.told)]
    beside_peers = [Verdict(PEERS, word(answer.counts), answer) for answer in _over_peers(run)]
    asked = {verdict.question for verdict in found}
    about_others = bool(beside_peers) or asked == {PRECISION}
    open_ones = [
        Verdict(question, "Not measured", None) for question in THREE if question not in asked and not about_others
    ]
    order = (*THREE, LIBRARY, PRECISION)
    return sorted([*found, *open_ones], key=lambda verdict: order.index(verdict.question)) + beside_peers


def by_question(found: list[Verdict]) -> dict[str, list[Verdict]]:
    """Return the verdicts under their questions."""
    return {question: list(own) for question, own in groupby(found, key=lambda verdict: verdict.question)}


def word(counts: dict[str, int]) -> str:
    """Return a word for how many cases have which verdict: `Yes` and `No` are for what holds in every case."""
    kinds = set(counts)
    if kinds == {"FASTER"}:
        return "Yes"
    if {"FASTER", "SLOWER"} <= kinds:
        return "It depends"
    if "FASTER" in kinds:
        return "In some cases"
    if kinds <= {"SLOWER", "SAME"}:
        return "No"
    return "Not as far as can be told" if kinds & {"SLOWER", "SAME"} else "Cannot be told"


def _question(answer: Answer) -> str:
    if answer.comparison is OVER_LOOP:
        return VECTORISING
    if answer.comparison is OVER_EAGER:
        return COMPILING
    if answer.comparison is OVER_FLOAT32:
        return PRECISION
    return GPU if ":gpu" in answer.spec else LIBRARY


def _over_peers(run: Run) -> Iterator[Answer]:
    """Yield, for each network and kind of work, how many times faster this project is than its peers, on each of its backends."""
    rows = run.told[run.told["backend"].map(peers.is_peer) & (run.told["status"] == "ok")]
    for (workload, network), own in rows.groupby(["workload", "network"], sort=False):
        for comparison in OF_OURS.values():
            if len(compared := own[own[f"{comparison.name}_ci_low"].notna()]):
                what = f"{network}, {PEER_TITLES[str(workload)]}"
                title = f"{what}: {comparison.title} ({OURS[str(workload)]}) over its peers"
                yield Answer(title, comparison.title, compared, comparison)
