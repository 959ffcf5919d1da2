"""What the help of every command says, what its exit statuses are, and what a wrong call is told."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import backends.__main__
from bench.arguments import Parser
from bench.cli import COMMANDS, main, parser

ROOT = Path(__file__).parents[2]
RUN = ROOT / "results" / "cpu-epyc-zen5-2-cores-2026-11-24"
OWN = ROOT / "tests" / "own_functions.py"


def parsers(one: Parser) -> dict[str, Parser]:
    """Return a parser and those of its commands, by what is typed."""
    found = {one.prog: one}
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for own in action.choices.values():
                found |= parsers(own.declared())
    return found


PARSERS = parsers(parser())
STATUSES = {
    "arraybench": {0, 1, 2, 130},
    "arraybench run": {0, 1, 2, 130},
    "arraybench compare": {0, 1, 2, 130},
    "arraybench report": {0, 2, 130},
    "arraybench conform": {0, 1, 2, 130},
    "arraybench doctor": {0, 1, 2, 130},
    "arraybench scaling": {0, 1, 2, 130},
    "arraybench crossover": {0, 1, 2, 130},
    "arraybench profile": {0, 2, 130},
    "arraybench explain": {0, 2, 130},
    "arraybench completion": {0, 2, 130},
    "arraybench selftest": {0, 1, 2, 130},
    **{
        f"arraybench selftest {name}": {0, 1, 2, 130}
        for name in ("verdicts", "kills", "streaming", "crossover", "gate")
    },
}


def told(one: argparse.ArgumentParser) -> tuple[list[str], dict[int, str]]:
    """Return the examples and the exit statuses, read from a help as it is printed."""
    text = one.format_help()
    examples, statuses = text.partition("examples:\n")[2].split("\nexit status:\n")
    return (
        [re.split(r"  +", line.strip())[0] for line in examples.splitlines() if line],
        {int(line.split()[0]): line.split(maxsplit=1)[1] for line in statuses.splitlines()},
    )


EXAMPLES = sorted({example for one in PARSERS.values() for example in told(one)[0]})


def test_the_exit_statuses_of_every_command_are_these_and_in_its_help():
    assert {name: set(told(one)[1]) for name, one in PARSERS.items()} == STATUSES


def test_the_help_of_all_commands_names_each_with_its_purpose_and_imports_none():
    source = "import sys, bench.cli as cli; cli.parser().print_help(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = " ".join(done.stdout.split())
    assert all(f"{name} {purpose}" in listed for name, (_, purpose) in COMMANDS.items())
    loaded = set(done.stderr.split())
    assert loaded & {module for module, _ in COMMANDS.values()} == set()
    assert loaded & {"numpy", "pandas", "rich"} == set()


def test_a_command_imports_no_other_command():
    source = "import sys, bench.cli as cli; cli.parser().parse_args(['doctor']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {module for module, _ in COMMANDS.values()} == {"bench.doctor.command"}


def test_the_readme_says_what_each_status_means_in_the_words_of_the_help():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = {
        cells[0].strip(): [cell.strip() for cell in cells[1:]]
        for line in readme.partition("## Exit statuses")[2].partition("\n## ")[0].splitlines()
        if (cells := line.strip("|").split("|"))[0].strip().startswith("`")
    }
    for name, one in PARSERS.items():
        command = name.removeprefix("arraybench").strip()
        if command and not command.startswith("selftest "):
            statuses = told(one)[1]
            assert rows[f"`{command}`"] == [statuses[0], statuses.get(1, "")], command


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_a_call_that_the_command_line_takes(line, capsys):
    *_, call = re.findall(r"arraybench [^>)]*", line)
    arguments = shlex.split(call)[1:]
    if "--help" in arguments:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    else:
        assert callable(parser().parse_args(arguments).command)


CHEAP = [line for line in EXAMPLES if line.split()[1] in ("compare", "report", "explain") and "png" not in line]


@pytest.mark.parametrize("line", CHEAP)
def test_an_example_that_reads_runs_works_as_it_is_printed(line, tmp_path, monkeypatch, capsys):
    if "report" in line or "--picture" in line:
        pytest.importorskip("altair")
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        shutil.copytree(RUN, tmp_path / "results" / name)
    assert main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


@pytest.mark.usefixtures("_no_roof")
def test_the_example_with_functions_of_ones_own_works_as_it_is_printed(tmp_path, monkeypatch, capsys):
    (line,) = (line for line in EXAMPLES if line.startswith("arraybench run my_functions.py"))
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(OWN, tmp_path / "my_functions.py")
    arguments = [*shlex.split(line)[1:], "--backends", "numpy", "--time", "0"]
    assert main(arguments) in (0, 1)  # one of these functions is wrong on purpose
    assert "time of one call" in capsys.readouterr().out


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "arraybench: the following arguments are required: command; arraybench --help tells more"),
        (["comprae"], "arraybench: unknown command comprae (did you mean compare?); there are run, compare, "),
        (["xyz"], "arraybench: unknown command xyz; there are run, compare, "),
        (["selftest", "gaet"], "arraybench selftest: unknown experiment gaet (did you mean gate?); there are verdicts"),
        (["run", "--bakends", "numpy"], "arraybench run: unknown option --bakends (did you mean --backends?)"),
        (["run", "--qiuck=3"], "arraybench run: unknown option --qiuck=3 (did you mean --quick?)"),
        (["run", "--suite", "laddre"], "--suite: unknown value laddre (did you mean ladder?); there are ladder, peers"),
        (["run", "my.py", "--suite", "peers"], "--suite: not allowed with argument FILE"),
        (["run", "--time", "soon"], "--time: soon is not a number of 0 or more"),
        (["run", "--time", "-1"], "--time: -1 is not a number of 0 or more"),
        (["run", "--budget", "nan"], "--budget: nan is not a number of 0 or more"),
        (["run", "--time", "inf"], "--time: inf is not a number of 0 or more"),
        (["compare", "old"], "arraybench compare: the following arguments are required: NEW"),
        (["compare", "a", "b", "c"], "arraybench compare: unknown argument c"),
        (["compare", "a", "b", "--json", "--markdown"], "--markdown: not allowed with argument --json"),
        (["report", "a", "--json", "--markdown"], "--markdown: not allowed with argument --json"),
        (["report"], "arraybench report: the following arguments are required: RUN"),
        (["conform"], "arraybench conform: the following arguments are required: BACKEND"),
        (["doctor", "--processes", "1"], "--processes: 1 is not a whole number of 2 or more"),
        (["scaling", "--processes", "0"], "--processes: 0 is not a whole number of 1 or more"),
        (["scaling", "--processes", "1.5"], "--processes: 1.5 is not a whole number of 1 or more"),
        (["crossover", "square"], "arraybench crossover: the following arguments are required: FIRST, SECOND"),
        (["crossover", "square", "numpy", "jax", "--within", "nan"], "--within: nan is not a number of 0.01 or more"),
        (
            ["crossover", "square", "numpy", "jax", "--processes", "2"],
            "--processes: 2 is not a whole number of 3 or more",
        ),
        (["selftest", "kills", "--runs", "0"], "--runs: 0 is not a whole number of 1 or more"),
        (["selftest", "streaming", "--rows", "10"], "--rows: expected 2 arguments"),
        (["selftest", "verdicts", "--trials", "0"], "--trials: 0 is not a whole number of 1 or more"),
        (["completion", "csh"], "SHELL: unknown SHELL csh (did you mean tcsh?); there are bash, zsh, tcsh"),
    ],
)
def test_a_wrong_call_of_any_command_is_one_sentence_and_status_2(arguments, sentence, capsys):
    assert sentence in refused(arguments, capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "nowhere/old", "nowhere/new"],
        ["compare", "nowhere/old", "nowhere/new", "--json"],
        ["report", "nowhere"],
        ["explain", "nowhere", "--json"],
        ["conform", "nonsense"],
        ["scaling", "--backends", "nonsense"],
        ["crossover", "depth", "numpy", "jax"],
        ["selftest", "streaming", "--rows", "10", "10"],
        ["compare", "baselines", "new", "--keep", "--only", "forward/*"],
        ["run", "nowhere.py"],
        ["run", "--resume", ""],
        ["run", "--resume", "nothing"],
    ],
)
def test_wrong_input_of_any_command_is_one_sentence_and_status_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("arraybench: ")
    assert printed.err.count("\n") == 1


def test_ctrl_c_is_status_130(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.conform.command.run", interrupted)
    assert main(["conform", "numpy"]) == 130
    assert capsys.readouterr().err == "arraybench: interrupted\n"


def test_the_list_of_backends_has_the_same_statuses(monkeypatch, capsys):
    assert backends.__main__.main([]) == 0
    assert backends.__main__.main(["--jsno"]) == 2
    assert capsys.readouterr().err == "python -m backends: unknown argument --jsno; there is --json\n"
    monkeypatch.setenv("ARRAY_BACKEND", "nonsense")
    assert backends.__main__.main([]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_every_call_in_the_documents_is_one_that_the_command_line_takes():
    calls = []
    for document in ("README.md", "CONTRIBUTING.md", "results/README.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        calls += re.findall(
            r"(?:^|[ \"`(/])(arraybench [a-z][^`\n]*)", "\n".join(re.findall(r"```.*?```", text, re.S)), re.M
        )
    assert len(calls) > 10
    for call in calls:
        words = shlex.split(re.sub(r"[>;|].*", "", re.sub(r"<\w+>", "NAME", call)), comments=True)
        assert callable(parser().parse_args(words[1:]).command), call


def test_the_status_is_that_of_the_process():
    done = subprocess.run([sys.executable, "-m", "bench", "comprae"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("arraybench: unknown command comprae (did you mean compare?)")
