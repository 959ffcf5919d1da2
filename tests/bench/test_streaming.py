"""The experiment on training from disk, on few rows: what it measures is not decided here."""

import numpy as np
import pandas as pd
import pytest

from bench.cli import main
from bench.selftest import streaming


def test_the_files_do_not_depend_on_the_piece_that_is_written_at_once(tmp_path, monkeypatch):
    written = []
    for size in (7, 1000):
        monkeypatch.setattr(streaming, "WRITTEN_AT_ONCE", size)
        streaming.write_files(tmp_path, 20)
        written.append([np.fromfile(tmp_path / f"{name}-20", "float32") for name in "xy"])
    x, y = written[0]
    assert all(np.array_equal(a, b) for a, b in zip(*written, strict=True))
    assert (x.reshape(-1, 2)[:, 0] > x.reshape(-1, 2)[:, 1]).tolist() == y.tolist()


def test_few_and_many_rows_are_trained_on_from_memory_and_from_disk(tmp_path):
    table = pd.DataFrame(streaming.experiment(tmp_path, ["numpy"], (40, 80)))
    assert table[["rows", "place"]].to_numpy().tolist() == [
        [40, "memory"],
        [40, "disk"],
        [80, "memory"],
        [80, "disk"],
    ]
    assert (table[["first_rows_per_s", "rows_per_s", "peak_mb"]] > 0).all(axis=None)
    assert list(tmp_path.iterdir()) == []


def row(rows, place, rate, peak):
    return {"backend": "numpy", "rows": rows, "place": place, "rows_per_s": rate, "loss": 0.1, "peak_mb": peak}


@pytest.mark.parametrize(
    ("rate", "peak", "sentence"),
    [
        (81, 300, None),
        (79, 300, "numpy: 1,000 rows on disk were trained on at 79% of the rate in memory"),
        (81, 301, "numpy: 1,000 rows on disk took 201 MB more than 10"),
    ],
)
def test_a_missed_goal_is_said(tmp_path, monkeypatch, capsys, rate, peak, sentence):
    rows = [row(10, "memory", 100, 100), row(10, "disk", 100, 100), row(1000, "memory", 100, 900)]
    monkeypatch.setattr(streaming, "experiment", lambda *_: iter([*rows, row(1000, "disk", rate, peak)]))
    arguments = ["--rows", "10", "1000", "--results", str(tmp_path), "--name", "s"]
    assert main(["selftest", "streaming", *arguments]) == (sentence is not None)
    printed = capsys.readouterr().out
    assert "1,000" not in printed if sentence is None else f"missed: {sentence}" in printed
    assert len(pd.read_csv(tmp_path / "s" / "streaming.csv")) == 4
