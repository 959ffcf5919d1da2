"""The command `arraybench report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from backends import ArraybenchError
from bench import jsonable
from bench.arguments import add_help
from bench.page import markdown, runs
from bench.table import make_folder, write_whole

EXAMPLES = (
    ("arraybench report results/old", "write results/old/report.html"),
    ("arraybench report results/old results/new --output both.html", "two runs on one page"),
    ("arraybench report results/old --pictures charts --format png", "every chart as a picture too"),
    ("arraybench report results/old --markdown", "print a summary for a pull request"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_help(parser, EXAMPLES, {0: "written"})
    parser.set_defaults(command=run)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folder of a run; several are laid over each other"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the page (default: report.html in the first run's folder)"
    )
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write every chart into this folder too")
    parser.add_argument(
        "--format", choices=("svg", "png"), default="svg", help="of the pictures (default: %(default)s)"
    )
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--json", action="store_true", help="print what was written as one JSON object")
    told.add_argument(
        "--markdown",
        action="store_true",
        help="print a summary for a pull request; a page only where --output asks for it",
    )


def run(options: argparse.Namespace) -> int:
    """Write the page, the pictures, or print the summary; return the exit status."""
    found = runs.read(options.runs)
    if options.markdown:
        print(markdown.summary(found), end="")
    if options.markdown and not (options.output or options.pictures):
        return 0
    try:
        from bench.page import charts, page
    except ModuleNotFoundError as error:
        raise ArraybenchError(
            f"arraybench report draws with {error.name}, which is not installed here; to install it: "
            "python -m pip install 'arraybench[report]'"
        ) from error
    drawn = charts.charts(found)
    written = []
    if options.pictures:
        make_folder(options.pictures, new=False)
        for chart in drawn:
            written.append(options.pictures / f"{chart.name}.{options.format}")
            _write(written[-1], chart.picture(options.format))
    if options.output or not options.markdown:
        written.append(options.output or found[0].folder / "report.html")
        _write(written[-1], page.render(found, drawn))
    if options.json:
        print(jsonable.dumps({"written": written}))
    elif not options.markdown:
        print(*written, sep="\n")
    return 0


def _write(file: Path, content: str | bytes) -> None:
    write_whole(file, content, file.with_name(f".{file.name}.partial"))
