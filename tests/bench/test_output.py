"""What commands write to stdout and stderr: one JSON object, colours only on a terminal, bars only there."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import os
import pty
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import backends.__main__
from bench import jsonable, scaling
from bench.cli import main
from bench.journal import Journal
from bench.selftest import kills, sabotage, streaming, verdicts
from bench.statistics import Estimate

from .no_roof import no_roof
from .no_roof import python as without_roof

ROOT = Path(__file__).parents[2]
RUN = str(ROOT / "results" / "cpu-epyc-zen5-2-cores-2026-11-24")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])[;m]")
TABLES = [["compare", RUN, "ANOTHER"], ["explain", RUN], ["conform", "numpy"]]


def strict(text):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """Return the folder of a run that is compared with RUN."""
    return str(shutil.copytree(RUN, tmp_path_factory.mktemp("results") / "another"))


# JSON


def test_what_json_has_no_number_for_is_null():
    frame = pd.DataFrame(
        {"s": [1.44e-7 / 3, math.nan], "n": [1, 2], "word": ["a", None], "any": [np.int64(3), np.True_]}
    )
    value = {
        "estimate": Estimate(1.0, math.nan, math.inf),
        "rows": frame,
        "file": Path("a/b"),
        3: (np.float32(0.5), -math.inf),
    }
    assert strict(jsonable.dumps(value)) == {
        "estimate": {"value": 1.0, "low": None, "high": None},
        "rows": [{"s": 1.44e-7 / 3, "n": 1, "word": "a", "any": 3}, {"s": None, "n": 2, "word": None, "any": True}],
        "file": "a/b",
        "3": [0.5, None],
    }


def told(arguments, capsys, status=0):
    assert main([*arguments, "--json"]) == status
    found = strict(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("arguments", "key"),
    [(["compare", RUN, "ANOTHER"], "cases"), (["explain", RUN], "explanations"), (["conform", "numpy"], "conforms")],
)
def test_a_command_that_reads_or_tries_tells_one_object(arguments, key, another, capsys):
    assert told([another if word == "ANOTHER" else word for word in arguments], capsys)[key]


def test_a_report_tells_what_it_has_written(tmp_path, capsys):
    pytest.importorskip("altair")
    page, pictures = tmp_path / "page.html", tmp_path / "charts"
    found = told(["report", RUN, "--output", str(page), "--pictures", str(pictures)], capsys)
    assert set(found["written"]) == {str(page), *map(str, pictures.iterdir())}


@pytest.fixture
def folder(tmp_path):
    return ["--results", str(tmp_path), "--name", "x"]


def test_scaling_tells_exponents_and_every_time(folder, tmp_path, monkeypatch, capsys):
    axis = next(axis for axis in scaling.axes() if axis.name == "square")
    small = scaling.Axis("square", 3, {n: case for n, case in axis.cases.items() if n <= 128})
    monkeypatch.setattr(scaling, "axes", lambda: [small])
    assert main(["scaling", "--backends", "numpy", "--processes", "1", *folder, "--json"]) in (0, 1)
    found = strict(capsys.readouterr().out)
    (exponent,) = found["exponents"]
    assert (exponent["axis"], exponent["exponent_ci_low"]) == ("square", None)  # a single process has no interval
    assert [row["size"] for row in found["times"]] == [64, 128]
    assert found["folder"] == str(tmp_path / "x")


def test_the_gate_tells_what_was_planted_and_what_passed(folder, monkeypatch, capsys):
    def rejections(backend):
        for fault, rejected in (("no ReLU", True), ("no bias", backend.name != "numpy")):
            yield {"fault": fault, "backend": backend.spec, "case": "c", "rejected": rejected, "error": math.nan}

    monkeypatch.setattr(sabotage, "rejections", rejections)
    found = told(["selftest", "gate", *folder], capsys, status=1)
    assert {row["backend"]: row["rejected"] for row in found["found"]}["numpy:cpu"] == 1
    assert found["missed"] == ["no bias in c on numpy:cpu passed the gate"]
    assert found["exit_status"] == 1


def test_verdicts_tell_the_shares(folder, monkeypatch, capsys):
    common = {"kind": "small", "one_thread": True, "case": "c"}
    planted = {0.0: "SAME", 0.03: "SLOWER", 0.05: "SLOWER"}
    own = [{"tool": "arraybench", "planted": share, "verdict": word} | common for share, word in planted.items()]
    monkeypatch.setattr(verdicts, "trial", lambda *_: own)
    found = told(["selftest", "verdicts", "--trials", "1", "--pytest-trials", "0", *folder], capsys)
    assert found["found"] == [
        {
            "tool": "arraybench",
            "kind": "small",
            "pairs": 1,
            "equals called": 0,
            "3% slower found": 1,
            "5% slower found": 1,
        }
    ]
    assert found["missed"] == []


def test_streaming_tells_each_variant(folder, monkeypatch, capsys):
    monkeypatch.setattr(streaming, "experiment", lambda files, specs, rows: iter(STREAMED))
    found = told(["selftest", "streaming", "--rows", "1", "2", *folder], capsys, status=1)
    assert [row["peak_mb"] for row in found["found"]] == [100, 100, 100, 400]
    assert found["missed"] == ["numpy:cpu: 2 rows on disk took 300 MB more than 1"]


STREAMED = [
    {
        "backend": "numpy:cpu",
        "rows": rows,
        "place": place,
        "rows_per_s": 1,
        "loss": 0.5,
        "peak_mb": peak,
        "of_files_mb": None,
    }
    for rows, place, peak in ((1, "memory", 100), (1, "disk", 100), (2, "memory", 100), (2, "disk", 400))
]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
def test_kills_tell_each_run(folder, monkeypatch, capsys):
    monkeypatch.setattr(
        kills, "plans", lambda specs: [("--only", "matmul/square-32/*", "--time", "0", "--backends", "numpy")]
    )
    monkeypatch.setattr(kills, "python", without_roof)
    found = told(["selftest", "kills", "--runs", "1", *folder], capsys)
    assert [row["outcome"] for row in found["found"]] == ["ok"]


def test_the_list_of_backends_as_an_object(monkeypatch, capsys):
    assert backends.__main__.main(["--json"]) == 0
    found = strict(capsys.readouterr().out)
    assert found["in_use"] == "numpy:cpu"
    assert {"numpy", "jax", "torch", "cupy"} <= {own["name"] for own in found["backends"]}
    monkeypatch.setenv("ARRAY_BACKEND", "nonsense")
    assert backends.__main__.main(["--json"]) == 1
    found = strict(capsys.readouterr().out)
    assert found["in_use"] is None
    assert "no backend of that name" in found["reason"]


# Colours and bars


class Written(NamedTuple):
    status: int
    out: str
    err: str


def written(arguments, terminals=(), **variables):
    """Run a command in a process of its own, and return what it writes to stdout and stderr, each a pipe or a terminal."""
    names = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    pairs = {name: pty.openpty() if name in terminals else os.pipe() for name in ("stdout", "stderr")}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment | {"TERM": "xterm-256color"} | variables,
        stdin=subprocess.DEVNULL,
        **{name: writing for name, (_, writing) in pairs.items()},
    )
    for _, writing in pairs.values():
        os.close(writing)
    with ThreadPoolExecutor() as readers:  # of both at once: a terminal that nobody reads is soon full
        out, err = readers.map(everything, [reading for reading, _ in pairs.values()])
    return Written(process.wait(), out.replace("\r\n", "\n"), err)


@functools.cache
def read_only(*arguments, terminals=(), **variables):
    """Return what `written` does of a command that changes nothing: each such call is made once."""
    return written(arguments, terminals, **variables)


def everything(descriptor):
    read = io.BytesIO()
    with (
        contextlib.suppress(OSError),
        open(descriptor, "rb", buffering=0) as stream,
    ):  # a terminal that is closed is an error
        while piece := stream.read(65536):
            read.write(piece)
    return read.getvalue().decode()


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The results folder of a run that was interrupted when it had its first unit."""
    record = Journal.record

    def interrupted(journal, unit):
        record(journal, unit)
        raise KeyboardInterrupt

    results = tmp_path_factory.mktemp("begun")
    only = ["--only", "matmul/square-32/matmul", "--backends", "numpy", "--time", "0"]
    with pytest.MonkeyPatch.context() as patch, no_roof():
        patch.setattr(Journal, "record", interrupted)
        assert main(["run", *only, "--results", str(results), "--name", "x"]) == 130
    return results


@pytest.fixture
def quick_run(begun, tmp_path):
    """What finishes a copy of that run."""

    def arguments(name):
        shutil.copytree(begun, tmp_path / name)
        return ["bench", "run", "--resume", "x", "--results", str(tmp_path / name)]

    return arguments


@pytest.mark.parametrize(
    "arguments", [["bench", *own] for own in TABLES] + [["backends"]], ids=lambda own: " ".join(own[:2])
)
def test_a_pipe_gets_no_colour_and_no_control_character_and_a_terminal_gets_colours(arguments, another):
    arguments = [another if word == "ANOTHER" else word for word in arguments]
    piped = read_only(*arguments)
    assert (piped.status, piped.err) == (0, "")
    assert not CONTROL.search(piped.out)
    assert "\x1b[" in read_only(*arguments, terminals=("stdout",)).out
    assert not COLOUR.search(read_only(*arguments, terminals=("stdout",), NO_COLOR="1").out)


def test_no_color_takes_away_a_colour_that_is_there_otherwise():
    assert COLOUR.search(read_only("bench", "conform", "numpy", terminals=("stdout",)).out)
    assert not COLOUR.search(read_only("bench", "conform", "numpy", terminals=("stdout",), NO_COLOR="1").out)


def test_a_bar_is_on_stderr_and_only_when_that_is_a_terminal(quick_run):
    piped = written([*quick_run("piped"), "--json"])
    assert (piped.status, piped.err) == (0, "")
    assert len(strict(piped.out)["rows"]) == 1
    shown = written([*quick_run("shown"), "--json"], ["stderr"])
    assert "\x1b[" in shown.err
    assert "pass 2" in shown.err
    assert len(strict(shown.out)["rows"]) == 1
    assert not COLOUR.search(written(quick_run("plain"), ["stderr"], NO_COLOR="1").err)
    assert written(quick_run("forced"), FORCE_COLOR="1").err == ""


def test_a_terminal_that_can_do_nothing_gets_no_control_character(quick_run):
    dumb = written(quick_run("dumb"), ["stdout", "stderr"], TERM="dumb")
    assert dumb.status == 0
    assert not CONTROL.search(dumb.out + dumb.err.replace("\r\n", "\n"))


@pytest.mark.parametrize("arguments", [["comprae"], ["compare", "nowhere", "nowhere-else"]])
def test_a_sentence_about_a_wrong_call_is_the_same_on_a_terminal(arguments):
    assert written(["bench", *arguments], ["stderr"]).err.replace("\r\n", "\n") == written(["bench", *arguments]).err


@pytest.mark.skipif(os.name != "posix", reason="there is no such pipe")
@pytest.mark.parametrize("arguments", [["completion", "bash"], ["explain", RUN]])
def test_a_reader_that_has_had_enough_is_no_error(arguments):
    ours = [sys.executable, "-m", "bench", *arguments]
    with subprocess.Popen(ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        done.stdout.close()
        assert done.stderr.read() == ""
    assert done.returncode == 141
