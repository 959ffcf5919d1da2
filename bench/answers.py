"""What a run says in sentences: whether vectorising, compiling, a GPU or another precision pays, and how far to believe it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from bench import peers
from bench.cases import CONTROL, FUNCTION
from bench.comparison import EAGER, OURS
from bench.statistics import CONFIDENCE, Estimate
from bench.table import EMPTY
from bench.wording import MARKS, ONE_EXAMPLE, PEER_TITLES, times, without_blanks

Summary = pd.DataFrame
Row = dict[Any, Any]

DISTURBED = "The run was too disturbed: close other programs, or give it more --time (under pytest --array-passes)."
VAGUE, HOPELESS = 10, 1000
"""An interval in doubt whose ends lie so many times apart says nothing alone; and would only hide what others say beside it."""
VECTORISING = "Does writing it as a matrix product pay?"
COMPILING = "Does compiling pay?"
GPU = "Does the GPU pay?"
LIBRARY = "Does another library pay, on the CPU?"
PRECISION = "Does another precision than float32 pay?"
PEERS = "Is this project's network faster than what one would pick instead?"
THREE = (VECTORISING, COMPILING, GPU)
QUESTIONS = (*THREE, LIBRARY, PRECISION, PEERS)


class Comparison(NamedTuple):
    """Columns of the table that hold a speed-up: the column's name, and its verdict's."""

    title: str
    name: str
    verdict: str


class Answer(NamedTuple):
    """What a run says of one backend to a question: the rows that answer it, by one of their speed-ups."""

    question: str
    title: str
    rows: Summary
    comparison: Comparison

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have which verdict, in the order of `MARKS`."""
        found = self.rows[self.comparison.verdict].value_counts()
        return {verdict: int(found[verdict]) for verdict in MARKS if verdict in found}

    @property
    def word(self) -> str:
        """The answer in a word or two: `Yes` and `No` are for what holds in every case."""
        kinds = set(self.counts)
        if kinds == {"FASTER"}:
            return "Yes"
        if {"FASTER", "SLOWER"} <= kinds:
            return "It depends"
        if "FASTER" in kinds:
            return "In some cases"
        if kinds <= {"SLOWER", "SAME"}:
            return "No"
        return "Not as far as can be told" if kinds & {"SLOWER", "SAME"} else "Cannot be told"

    @property
    def reach(self) -> str:
        """The speed-ups from the least to the greatest, and how far their intervals reach together, but for `hidden` ones.

        That nothing can be said where the rows say nothing.
        """
        if self.says_nothing:
            return "nothing can be said"
        name, told = self.comparison.name, self.rows[~self.hidden(beyond=HOPELESS)]
        reached = _span(told[f"{name}_ci_low"], told[f"{name}_ci_high"])
        return f"{_span(told[name], told[name])} ({CONFIDENCE:.0%}: {reached})"

    @property
    def says_nothing(self) -> bool:
        """Whether noise hides every row: a single one that tells something is an answer."""
        return bool(self.hidden(beyond=VAGUE).all())

    def hidden(self, beyond: float) -> pd.Series[bool]:
        """Tell of each row whether it is in doubt and the ends of its interval lie further apart than by that factor."""
        low, high = (self.rows[f"{self.comparison.name}_ci_{end}"] for end in ("low", "high"))
        return (self.rows[self.comparison.verdict] == "UNRESOLVED") & (high > beyond * low)

    @property
    def counted(self) -> str:
        """How many rows are clearly faster or slower, in words."""
        words = [f"{verdict.lower()} in {count}" for verdict, count in self.counts.items()]
        return f"{', '.join(words)} of {len(self.rows)}"

    @property
    def remarks(self) -> str:
        """What else is to be known, in words: which cases to look at, what noise took, what it costs."""
        found = []
        if "FASTER" in self.counts and len(self.counts) > 1:
            found.append(f"most {self._where('idxmax')}, least {self._where('idxmin')}")
        if (hopeless := int(self.hidden(beyond=HOPELESS).sum())) and not self.says_nothing:
            found.append(f"{hopeless} too disturbed for a range")
        if self.question in (GPU, LIBRARY) and len(repaid := self.rows["break_even_calls"].dropna()):
            least, most = (f"{math.ceil(calls):,}" for calls in (repaid.min(), repaid.max()))
            calls = least if least == most else f"{least} to {most}"
            found.append(f"in {len(repaid)} the first call is repaid, after {calls} calls")
        if self.question == PRECISION:
            found.append(f"errors up to {self.rows['oracle_error'].max():.1e}")
        return "; ".join(found)

    def _where(self, which: str) -> str:
        """Return in which case, or over which peer, the greatest or the least speed-up is, but for hidden ones."""
        told = self.rows[~self.hidden(beyond=HOPELESS)]
        row = told.loc[getattr(told[self.comparison.name], which)()]
        if self.question == PEERS:
            return f"over {row['backend']}"
        return f"in {without_blanks(row['workload'], row['network'])}"

    def __str__(self) -> str:
        return f"{self.title}: {self.reach}, {self.counted}" + (f"; {self.remarks}" if self.remarks else "")


OVER_LOOP = Comparison("over loop", "speedup", "verdict")
OVER_BASELINE = OVER_LOOP._replace(title="speed-up")
OVER_NUMPY = Comparison("over NumPy", "speedup_over_numpy", "verdict_over_numpy")
OVER_EAGER = Comparison("over eager", "speedup_over_eager", "verdict_over_eager")
OVER_FLOAT32 = Comparison("over float32", "speedup_over_float32", "verdict_over_float32")
OF_OURS = {
    "numpy": Comparison("ours on NumPy", "speedup_of_numpy", "verdict_of_numpy"),
    "numba": Comparison("ours on Numba", "speedup_of_numba", "verdict_of_numba"),
    "jax": Comparison("ours on JAX", "speedup_of_jax", "verdict_of_jax"),
}


def marked(summary: Summary) -> Summary:
    """Return the rows with `spec` (`jax:gpu:0`) and `kind`: a case's kind of work, whatever its name is."""
    ours = summary["source"] == EMPTY["str"]
    spec = summary["backend"] + ":" + summary["device"]
    return summary.assign(spec=spec, kind=summary["workload"].where(ours, FUNCTION))


def is_unlike(row: Row, comparison: Comparison) -> bool:
    """Tell whether a row is not like for like with what a comparison compares it with; of a user's function that is NumPy's."""
    with_baseline = comparison.name == OVER_LOOP.name or (comparison is OVER_NUMPY and row["kind"] == FUNCTION)
    return with_baseline and row["unlike"] != EMPTY["str"]


def estimate(row: Row, name: str) -> Estimate:
    """Return a speed-up of a row with its interval, given its column."""
    return Estimate(row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"])


def by_question(frame: Summary) -> dict[str, list[Answer]]:
    """Return what a run's rows answer to each question, over all networks or all functions.

    A run that answers one of the three has the others too, without an answer; a product is asked for nowhere but in networks.
    """
    found = [answer for answer in _answers(frame) if len(answer.rows)]
    asked = {answer.question for answer in found}
    if asked & {*THREE, LIBRARY}:
        asked |= {*THREE} - ({VECTORISING} if (frame["kind"] == FUNCTION).all() else set())
    return {question: [own for own in found if own.question == question] for question in QUESTIONS if question in asked}


def _answers(frame: Summary) -> Iterator[Answer]:
    """Yield the answers to all questions, each with the rows that have its speed-up."""
    three = [] if in_precisions(frame) else _three_answers(frame)
    for answer in itertools.chain(three, _over_peers(frame), _precision_answers(frame)):
        yield answer._replace(rows=answer.rows[answer.rows[f"{answer.comparison.name}_ci_low"].notna()])


def _three_answers(frame: Summary) -> Iterator[Answer]:
    ok = frame[(frame["status"] == "ok") & frame["kind"].isin([*ONE_EXAMPLE, FUNCTION])]
    compiled = list(ok[ok["implementation"] == "compiled"]["spec"].unique())
    numpy = ok[ok["spec"].str.startswith("numpy:") & (ok["implementation"] == "matmul")]
    yield Answer(VECTORISING, "A matrix product over the loop, NumPy", numpy, OVER_LOOP)
    for spec in ok["spec"].unique():
        best = ok[(ok["spec"] == spec) & ok["implementation"].isin(["compiled"] if spec in compiled else EAGER)]
        if spec in compiled:
            yield Answer(COMPILING, f"Compiled over eager, {spec}", best, OVER_EAGER)
        if not spec.startswith("numpy:"):
            question, where = (GPU, "the GPU") if ":gpu" in spec else (LIBRARY, "the CPU")
            yield Answer(question, f"{spec}, on {where}, over NumPy", best, OVER_NUMPY)


def _precision_answers(frame: Summary) -> Iterator[Answer]:
    for case, rows in frame[frame["precision"] != "float32"].groupby(["spec", "precision"], sort=False):
        spec, precision = map(str, case)
        yield Answer(PRECISION, f"{precision} over float32, {spec}", rows, OVER_FLOAT32)


def _over_peers(frame: Summary) -> Iterator[Answer]:
    """Yield, for each network and kind of work, how many times faster this project is than its peers, on each of its backends."""
    rows = frame[frame["backend"].map(peers.is_peer) & (frame["status"] == "ok")]
    for (workload, network), own in rows.groupby(["workload", "network"], sort=False):
        for comparison in OF_OURS.values():
            what = f"{network}, {PEER_TITLES[str(workload)]}"
            yield Answer(PEERS, f"{what}: {comparison.title} ({OURS[str(workload)]}) over its peers", own, comparison)


def not_had(frame: Summary) -> Iterator[str]:
    """Yield for each backend why some precisions cannot be had, where they are what the run is about."""
    if in_precisions(frame):
        for own, rows in frame[frame["status"] == "unavailable"].groupby("spec", sort=False):
            yield f"{own!s}: {'; '.join(rows['reason'].unique())}"


def controls(frame: Summary, answered: dict[str, list[Answer]]) -> Iterator[str]:
    """Yield what the run knows of its own error: what two equal cases differed by, and the least that it could have seen.

    Where noise hides one of them, or all that answers a question as `by_question` has it, what to do about it comes last.
    """
    disturbed = any(answer.says_nothing for found in answered.values() for answer in found)
    equals = frame[(frame["implementation"] == CONTROL) & frame["speedup_ci_low"].notna()]
    for row in equals.to_dict("records"):
        equal, pair = estimate(row, "speedup"), f"Two equal cases, {row['workload']} {row['network']}"
        if row["verdict"] == "UNRESOLVED" and equal.high > VAGUE * equal.low:
            disturbed = True
            yield f"{pair}: nothing can be said."
            continue
        yield (
            f"{pair}, differed by {equal.value - 1:+.1%} "
            f"({equal.low - 1:+.1%} to {equal.high - 1:+.1%}): {row['verdict']}. "
            f"Here {row['smallest_effect']:.1%} could be seen; false alarms {row['false_alarm_rate']:.1%}."
        )
    if disturbed:
        yield DISTURBED


def _span(low: pd.Series[float], high: pd.Series[float]) -> str:
    """Return the least and the greatest speed-up, or the one that both are."""
    return " to ".join(dict.fromkeys([times(low.min()), times(high.max())]))


def in_precisions(frame: Summary) -> bool:
    """Tell whether a suite's cases are compared in several precisions."""
    return bool((frame[frame["kind"] != FUNCTION]["precision"] != "float32").any())
