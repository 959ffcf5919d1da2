"""The page: one HTML file with its style, its scripts and its figures inside. Jinja escapes what comes from files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from bench.answers import by_question, controls, not_had
from bench.page import charts, palette, tables
from bench.page.runs import Run
from bench.wording import LEGEND

TEMPLATES = ("page.html", "page.css", "page.js")


def render(runs: Sequence[Run], drawn: Sequence[charts.Chart]) -> str:
    """Return the page of the runs with those charts."""
    # `</script` would end the element that the library is in.
    library = Markup(charts.script().replace("</script", "<\\/script"))
    return _environment().get_template("page.html").render(
        runs=runs,
        answers=[
            (run, answered, list(controls(run.rows, answered)), list(not_had(run.told)))
            for run, answered in ((run, by_question(run.told)) for run in runs)
        ],
        wrong=tables.wrong(runs),
        all_rows=tables.of_all_rows(runs),
        charts=drawn,
        machine=[tables.of_machines(runs), tables.of_backends(runs), tables.of_keys(runs)],
        legend=LEGEND,
        light=palette.declared(0),
        dark=palette.declared(1),
        library=library,
    )  # fmt: skip


def _environment() -> Environment:
    files = resources.files("bench.page")
    sources = {name: (files / name).read_text(encoding="utf-8") for name in TEMPLATES}
    return Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
