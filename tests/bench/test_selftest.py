"""The command `arraybench selftest`: what it prints, writes and returns. What the experiments find is not decided here."""

import json

import pandas as pd
import pytest

from bench.cli import main
from bench.selftest import sabotage, verdicts

PLANTED = {"cause": "", "dtype": "float32", "error": 0.5, "tolerance": 1e-4, "honest_error": 1e-7, "reason": "differs"}


def planted(passes):
    def rejections(backend):
        for fault in ("no ReLU", "a bias dropped"):
            yield {"fault": fault, "backend": backend.spec, "case": "c", "rejected": fault != passes} | PLANTED

    return rejections


@pytest.mark.parametrize(("passes", "status"), [(None, 0), ("a bias dropped", 1)])
def test_the_gate_is_tried_on_every_backend_and_a_fault_that_passes_is_said(
    passes, status, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sabotage, "rejections", planted(passes))
    assert main(["selftest", "gate", "--results", str(tmp_path), "--name", "g"]) == status
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "g" / "gate.csv")
    assert {"numpy:cpu", "strict:device2"} <= set(table["backend"])
    assert ("a bias dropped in c on numpy:cpu passed the gate" in printed) is bool(passes)
    assert json.loads((tmp_path / "g" / "machine.json").read_text())["machine_id"]


def row(tool, planted, verdict):
    return {"tool": tool, "kind": "small", "one_thread": True, "case": "c", "planted": planted, "verdict": verdict}


@pytest.mark.parametrize(("five", "status"), [("SLOWER", 0), ("UNRESOLVED", 1)])
def test_the_verdicts_of_both_tools_stand_side_by_side_and_a_missed_goal_is_said(
    five, status, tmp_path, monkeypatch, capsys
):
    own = [row("arraybench", 0.0, "SAME"), row("arraybench", 0.03, "SLOWER"), row("arraybench", 0.05, five)]
    other = [row("pytest-benchmark", planted, "not slower") for planted in (0.0, 0.03, 0.05)]
    monkeypatch.setattr(verdicts, "trial", lambda *_: own)
    monkeypatch.setattr(verdicts, "pytest_trial", lambda *_: other)
    arguments = ["--trials", "2", "--pytest-trials", "1", "--results", str(tmp_path), "--name", "v"]
    assert main(["selftest", "verdicts", *arguments]) == status
    printed = capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "v" / "verdicts.csv")) == 9
    assert "pytest-benchmark" in printed
    assert ("missed: 5 % found" in printed) is bool(status)


def test_a_folder_of_that_name_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "gate.csv").write_text("kept")
    assert main(["selftest", "gate", "--results", str(tmp_path), "--name", "g"]) == 2
    assert "choose another --name" in capsys.readouterr().err
    assert (tmp_path / "g" / "gate.csv").read_text() == "kept"


def test_a_kind_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["selftest", "verdicts", "--only", "no such", "--results", str(tmp_path)]) == 2
    assert "--only no such: no such kind; there are small, BLAS, one thread" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
