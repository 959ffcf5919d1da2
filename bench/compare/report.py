"""How a comparison of two runs is told: as a table to a person, as one object to a program."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import jsonable
from bench.compare.changes import Change, Comparison, Tables
from bench.measurement import Measurement, Row
from bench.statistics import CONFIDENCE, Estimate, time
from bench.wording import LEGEND, MARKS, ROOMY, escaped, scaled, times, unit, with_interval

NAMED = 3  # cases that a list of many names
WORDS = {"SLOWER": "slower", "FASTER": "faster", "SAME": "the same", "UNRESOLVED": "cannot be told"}
COVERAGE = (
    "The intervals hold how the processes of each run differ. What drifts from one run to the next (load, frequency) is in "
    "none of them."
)


def show(comparison: Comparison, console: Console) -> None:
    """Print the two runs, the table, what is in one run alone, what the runs share, and the counts."""
    for title, run in (("old", comparison.old), ("new", comparison.new)):
        console.print(f"{title}  {_title(run)}", markup=False, highlight=False)
    if comparison.unlike:
        console.print(
            f"not like for like: {'; '.join(comparison.unlike)}", style="yellow", markup=False, highlight=False
        )
    console.print("", _table(comparison, console.width >= ROOMY), "")
    console.print(LEGEND, style="dim", highlight=False)
    console.print(f"▼▼ and ▲▲: beyond doubt among {_cases(len(comparison.compared))}.", style="dim", highlight=False)
    console.print()
    for line in (*_in_one_run(comparison), *_reasons(comparison), *_drift(comparison), COVERAGE, _closing(comparison)):
        console.print(line, markup=False, highlight=False)


def as_markdown(comparison: Comparison) -> str:
    """Return the comparison in Markdown: the counts, what is called or no longer right, and all cases folded away."""
    called = [change for change in comparison.changes if change.wrong or change.beyond_doubt]
    lines = [
        f"**{_closing(comparison)}**",
        "",
        *(f"{title}: {_title(run)}  " for title, run in (("old", comparison.old), ("new", comparison.new))),
        *(f"\nnot like for like: {unlike}" for unlike in comparison.unlike),
        "",
        *(_markdown(called) if called else ["No case is slower or faster beyond doubt."]),
        "",
        *(["<details><summary>all cases</summary>", "", *_markdown(comparison.changes), "", "</details>", ""]),
        *(line for line in (*_in_one_run(comparison), *_reasons(comparison), *_drift(comparison), COVERAGE)),
    ]
    return "\n".join(lines)


def _markdown(changes: Sequence[Change]) -> list[str]:
    rows = ["| case | backend | old | new | speed-up, 99 % interval | |", "|---|---|--:|--:|--:|---|"]
    for change in changes:
        if "absent" in change.statuses or not (change.speedup or change.wrong):
            continue
        seconds = [
            scaled(found.value) if (found := _seconds(own)) else own.status if own else ""
            for own in (change.old, change.new)
        ]
        ratio = change.speedup
        told = "" if ratio is None else times(ratio.value) if math.isnan(ratio.low) else _plain(ratio)
        word = "no longer right" if change.wrong else change.verdict + " beyond doubt" * change.beyond_doubt
        rows.append(f"| {escaped(change.name.case)} | {change.name.spec} | {' | '.join(seconds)} | {told} | {word} |")
    return rows


def _plain(ratio: Estimate) -> str:
    return f"{times(ratio.value)} [{times(ratio.low)[:-1]}, {times(ratio.high)[:-1]}]"


def as_first(new: Tables, kept: Path, as_object: bool) -> str:
    """Return what there is to say of a run that has become its machine's first baseline."""
    if as_object:
        return jsonable.dumps({"old": None, "new": _identity(new), "kept": kept, "exit_status": 0})
    return f"There was no baseline of machine {new.machine_id}: {new.folder} is the first, kept in {kept}."


def as_json(comparison: Comparison) -> str:
    """Return the comparison as one JSON object; what is not there is null."""
    verdicts, doubtless = comparison.verdicts, comparison.beyond_doubt
    told = {
        "old": _identity(comparison.old),
        "new": _identity(comparison.new),
        "not_like_for_like": comparison.unlike,
        "confidence": CONFIDENCE,
        "counts": {
            "compared": len(comparison.compared),
            **{verdict.lower(): verdicts[verdict] for verdict in MARKS},
            "slower_beyond_doubt": doubtless["SLOWER"],
            "faster_beyond_doubt": doubtless["FASTER"],
            "no_longer_right": len(comparison.wrong),
        },
        "median_speedup": comparison.median_speedup,
        "exit_status": comparison.exit_status,
        "cases": [_case(change) for change in comparison.changes],
    }
    return jsonable.dumps(told)


def _case(change: Change) -> Row:
    one = change.new or change.old
    assert one is not None, "a change is of a case that a run has"
    old_status, new_status = change.statuses
    speedup = change.speedup or Estimate(math.nan, math.nan, math.nan)
    return {
        "case": change.name.case,
        "backend": change.name.spec,
        "dtype": change.name.dtype,
        "old_status": old_status,
        "new_status": new_status,
        "reason": change.new.reason if old_status == "ok" and change.new and not change.new.measured else None,
        "seconds_of": unit(one.case.kind),
        "old_s": _interval(_seconds(change.old)),
        "new_s": _interval(_seconds(change.new)),
        "speedup": speedup.value,
        "speedup_ci_low": speedup.low,
        "speedup_ci_high": speedup.high,
        "p": change.p,
        "p_holm": change.p_holm,
        "verdict": change.verdict if change.speedup else None,
        "beyond_doubt": change.beyond_doubt,
        "no_longer_right": change.wrong,
        "not_like_for_like": change.unlike or None,
    }


def _interval(estimate: Estimate | None) -> list[float] | None:
    return list(estimate) if estimate else None


def _identity(run: Tables) -> Row:
    row = next(iter(run.measurements.values())).facts[0]
    return {"folder": str(run.folder)} | {fact: row[fact] for fact in ("run_id", "recorded_at", "machine_id")}


def _title(run: Tables) -> str:
    told = _identity(run)
    return f"{told['folder']}, {told['recorded_at']}, machine {told['machine_id']}"


def _seconds(own: Measurement | None) -> Estimate | None:
    """Return the time that the table of a run shows."""
    if own is None or not own.measured:
        return None
    return time(own.blocks) if unit(own.case.kind) == "example" else own.call


def _table(comparison: Comparison, roomy: bool) -> Table:
    """Return a row for each case that both runs have, but those that neither could measure for the same reason."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for title in ("old", "new", "speed-up"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for change in comparison.changes:
        old, new = change.statuses
        if "absent" not in (old, new) and (change.speedup or old != new):
            table.add_row(*_cells(change, roomy))
    return table


def _cells(change: Change, roomy: bool) -> Iterator[Any]:
    yield escape(f"{change.name.case} {change.name.spec}")
    for own in (change.old, change.new):
        seconds = _seconds(own)
        yield scaled(seconds.value) if seconds else own.status.replace("_", " ") if own else ""
    if change.speedup is None:
        yield ""
        yield "[red]✗[/]" if change.wrong else ""
        return
    yield times(change.speedup.value) if math.isnan(change.speedup.low) else with_interval(change.speedup, roomy)
    yield MARKS[change.verdict] * (2 if change.beyond_doubt else 1) + ("≠" if change.unlike else "")


def _in_one_run(comparison: Comparison) -> Iterator[str]:
    """Yield what was added or removed, a line for each backend."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for change in comparison.changes:
        if "absent" in change.statuses:
            found["removed" if change.new is None else "added", change.name.spec].append(change.name.case)
    for (word, spec), cases in found.items():
        rest = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
        yield f"{word} on {spec}: {', '.join(cases[:NAMED])}{rest}"


def _reasons(comparison: Comparison) -> Iterator[str]:
    """Yield in what the cases themselves are not like for like, and why those that are no longer right are not."""
    found: dict[str, int] = defaultdict(int)
    for change in comparison.compared:
        found[change.unlike] += bool(change.unlike)
    yield from (f"≠ {_cases(count)}: {unlike}" for unlike, count in found.items() if count)
    for change in comparison.changes:
        if change.near_budget:
            yield f"timed out, which counts for nothing as it was near its budget before: {change.name}"
    for change in comparison.wrong:
        new = change.statuses[1].replace("_", " ")
        yield f"no longer right: {change.name} was ok and is {new} now: {change.new.reason if change.new else ''}"


def _drift(comparison: Comparison) -> Iterator[str]:
    """Yield what tells of a drift between the runs: the median case, and the controls."""
    if len(comparison.compared) > 1:
        yield f"The median speed-up of all cases is {times(comparison.median_speedup)}: what all share may be the machine's."
    for change in comparison.controls:
        if change.speedup and not math.isnan(change.speedup.low):
            yield f"The control, {change.name}: {with_interval(change.speedup, roomy=False)}."


def _closing(comparison: Comparison) -> str:
    """Return the sentence with the counts."""
    verdicts, doubtless = comparison.verdicts, comparison.beyond_doubt
    told = [
        f"{verdicts[verdict]} {word}"
        + (f" ({doubtless[verdict]} beyond doubt)" if verdict in ("SLOWER", "FASTER") else "")
        for verdict, word in WORDS.items()
    ]
    by_chance = (1 - CONFIDENCE) * len(comparison.compared)
    wrong = f" {_cases(len(comparison.wrong))} no longer right." if comparison.wrong else ""
    return (
        f"Of {_cases(len(comparison.compared))}: {', '.join(told)}; of so many equals {by_chance:.1g} would be called by chance."
        + wrong
    )


def _cases(count: int) -> str:
    return f"{count} case" + "s" * (count != 1)
