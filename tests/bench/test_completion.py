"""The scripts of `arraybench completion`: that of bash is sourced in bash and asked what a person would ask."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
import shtab

from bench.cli import COMMANDS, main

ASK = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
_shtab_arraybench 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def complete(tmp_path, capsys):
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    script = tmp_path / "script"
    assert main(["completion", "bash"]) == 0
    script.write_text(capsys.readouterr().out)
    here = tmp_path / "here"
    (here / "results" / "old").mkdir(parents=True)
    (here / "my_functions.py").touch()

    def completed(*words):
        asked = ASK.format(script=shlex.quote(str(script)), words=shlex.join(["arraybench", *words]))
        done = subprocess.run(["bash", "--norc", "-c", asked], cwd=here, capture_output=True, text=True)
        assert done.stderr == ""
        return set(done.stdout.split())

    return completed


def test_bash_completes_commands_options_and_choices(complete):
    assert complete("") == set(COMMANDS)
    assert complete("co") == {"compare", "conform", "completion"}
    assert complete("run", "--su") == {"--suite"}
    assert complete("run", "--suite", "p") == {"peers", "precision"}
    assert complete("selftest", "g") == {"gate"}
    assert complete("selftest", "gate", "--j") == {"--json"}
    assert complete("report", "--format", "") == {"svg", "png"}
    assert complete("nonsense", "--su") == set()


def test_bash_completes_files_where_a_file_is_asked_for_and_folders_where_a_folder_is(complete):
    assert complete("run", "my") == {"my_functions.py"}
    assert complete("run", "--results", "") == {"results"}
    assert complete("run", "--name", "") == set()
    assert complete("compare", "results/") == {"results/old"}
    assert complete("compare", "results/old", "results/") == {"results/old"}
    assert complete("report", "results/old", "results/") == {"results/old"}
    assert complete("explain", "--picture", "my") == {"my_functions.py"}


@pytest.mark.parametrize("shell", shtab.SUPPORTED_SHELLS)
def test_every_shell_gets_a_script_that_names_every_command(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
