"""The exponents of `arraybench scaling`, from planted times and from real ones."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bench import cli, processes, scaling
from bench.networks import NETWORKS
from bench.scaling import exponents, slope


def planted(time, sizes=(10, 100, 1000, 10_000), power=1, processes=3):
    return pd.DataFrame(
        [
            {"axis": "rows", "power": power, "backend": "numpy:cpu", "size": n, "process": p, "seconds": time(n, p)}
            for p in range(processes)
            for n in sizes
        ]
    )


@pytest.mark.parametrize("power", [0.5, 1.0, 2.7])
def test_the_slope_of_a_power_is_that_power(power):
    assert slope([2, 8, 32], [n**power for n in (2, 8, 32)]) == pytest.approx(power)


def test_what_a_call_costs_whatever_its_size_is_not_in_the_exponent():
    (row,) = exponents(planted(lambda n, p: 1e-5 + (1 + 0.01 * p) * n * 1e-6)).to_dict("records")
    assert (row["from_size"], row["to_size"]) == (100, 10_000)
    assert 0.9 < row["exponent"] < 1.0
    assert row["exponent_ci_low"] < row["exponent"] < row["exponent_ci_high"]
    assert not row["too_steep"]


def test_a_time_that_grows_faster_than_its_work_is_told():
    assert exponents(planted(lambda n, p: (1 + 0.01 * p) * n**1.5))["too_steep"].all()
    assert not exponents(planted(lambda n, p: (1 + 0.01 * p) * n**1.5, power=2))["too_steep"].any()


def test_a_hundredfold_of_the_work_is_fewer_sizes_where_the_work_grows_by_a_power():
    (row,) = exponents(planted(lambda n, p: float(n) ** 2, (10, 100, 1000), power=2)).to_dict("records")
    assert row["from_size"] == 100


def test_one_process_has_no_interval_and_is_not_called_too_steep():
    (row,) = exponents(planted(lambda n, p: float(n) ** 3, processes=1)).to_dict("records")
    assert math.isnan(row["exponent_ci_low"])
    assert not row["too_steep"]


def test_sizes_that_could_not_be_measured_are_left_out():
    frame = planted(lambda n, p: math.nan if n == 10_000 else float(n))
    assert exponents(frame)["to_size"].item() == 1000


def test_the_sizes_of_every_axis_ascend_and_its_cases_exist():
    for axis in scaling.axes():
        assert list(axis.cases) == sorted(axis.cases)
        assert all(case.workload == "matmul" or case.network in NETWORKS for case in axis.cases.values())


def test_the_command_measures_writes_and_prints(tmp_path, monkeypatch, capsys):
    axis = next(axis for axis in scaling.axes() if axis.name == "square")
    small = scaling.Axis("square", 3, {n: case for n, case in axis.cases.items() if n <= 256})
    monkeypatch.setattr(scaling, "axes", lambda: [small])
    arguments = ["scaling", "--backends", "numpy", "--processes", "2", "--results", str(tmp_path), "--name", "run"]
    assert cli.main(arguments) in (0, 1)
    frame = pd.read_csv(tmp_path / "run" / "scaling.csv")
    assert set(frame["process"]) == {0, 1}
    assert (frame["status"] == "ok").all()
    assert (frame["seconds"] > 0).all()
    assert "square" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "run" / "exponents.csv")["to_size"].item() == 256


def test_an_axis_that_there_is_not_is_one_sentence(capsys):
    assert cli.main(["scaling", "--axes", "depth"]) == 2
    assert capsys.readouterr().err == "arraybench: --axes depth: no such axis; there are rows, batch, width, square\n"


FILE = """
import bench
import numpy as np

@bench.case(lambda n: np.ones((n, n)), axes={"n": [8, 128], "dtype": ["float64"]}, flops=lambda n: 2 * n**3)
def square(x):
    return x @ x

@bench.case(lambda rows: np.ones(rows), axes={"rows": [10, 1000]})
def wrong_when_large(x):
    return x if x.shape[0] < 1000 else x + 1
wrong_when_large.__arraybench_case__ = __import__("dataclasses").replace(wrong_when_large.__arraybench_case__, oracle=lambda x: x)

@bench.case(lambda k: np.ones(k), axes={"k": [3], "mode": ["a", "b"]})
def single(x):
    return x
"""


def test_the_axes_of_ones_own_functions_grow_as_the_flops_that_they_declare(tmp_path, capsys):
    (tmp_path / "own.py").write_text(FILE)
    own = scaling.own_axes(tmp_path / "own.py")
    assert list(own) == ["square:n", "wrong_when_large:rows"]
    assert own["square:n"].power == pytest.approx(3)
    assert list(own["square:n"].cases) == [8, 16, 32, 64, 128]
    assert math.isnan(own["wrong_when_large:rows"].power)

    arguments = ["scaling", str(tmp_path / "own.py"), "--backends", "numpy", "--processes", "2", "--name", "own"]
    assert cli.main([*arguments, "--results", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "wrong_when_large:rows 1,000 on numpy:cpu: mismatch: " in out
    frame = pd.read_csv(tmp_path / "own" / "exponents.csv").set_index("axis")
    assert frame["work_exponent"]["square:n at dtype=float64"] == pytest.approx(3)
    assert math.isnan(frame["work_exponent"]["wrong_when_large:rows"])
    assert not frame["too_steep"]["wrong_when_large:rows"]


def test_a_time_of_unknown_work_has_an_exponent_over_the_last_hundredfold_and_no_verdict():
    (row,) = exponents(planted(lambda n, p: float(n) ** 3, power=math.nan)).to_dict("records")
    assert row["from_size"] == 100
    assert row["exponent"] == pytest.approx(3)
    assert not row["too_steep"]


def test_a_file_whose_functions_have_nothing_that_grows_is_one_sentence(tmp_path, capsys):
    (tmp_path / "own.py").write_text("import bench\nbench.case(lambda: 3)(f := lambda x: x)")
    assert cli.main(["scaling", str(tmp_path / "own.py")]) == 2
    assert "declares no function with an axis of two positive whole numbers" in capsys.readouterr().err


UNMEASURABLE = """
import bench
import numpy as np

@bench.case(lambda n: np.ones(n), axes={"n": [10, 1000]}, oracle=lambda x: x + (len(x) > 10))
def right_at_one_size(x):
    return x + 0

@bench.case(lambda n: np.ones(n), axes={"n": [10, 1000]}, oracle=lambda x: x + 1)
def wrong(x):
    return x
"""


def test_an_axis_without_two_sizes_that_could_be_measured_has_no_exponent_but_a_sentence(tmp_path, capsys):
    (tmp_path / "own.py").write_text(UNMEASURABLE)
    arguments = ["scaling", str(tmp_path / "own.py"), "--backends", "numpy", "--processes", "2", "--name", "own"]
    assert cli.main([*arguments, "--results", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    for axis in ("right_at_one_size:n", "wrong:n"):
        assert f"{axis} on numpy:cpu: no two sizes within the last hundredfold could be measured, so it has" in out
    frame = pd.read_csv(tmp_path / "own" / "exponents.csv")
    assert list(frame.columns) == scaling.COLUMNS
    assert frame.empty
    assert set(pd.read_csv(tmp_path / "own" / "scaling.csv")["status"]) == {"ok", "mismatch"}


def test_a_backend_whose_worker_cannot_start_has_rows_that_say_so(tmp_path, monkeypatch, capsys):
    def refused(*arguments, **options):
        raise OSError("no process to be had")

    monkeypatch.setattr(processes.subprocess, "Popen", refused)
    arguments = ["scaling", "--axes", "width", "--backends", "numpy", "--processes", "1", "--name", "none"]
    assert cli.main([*arguments, "--results", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "width 64 on numpy:cpu: failed: a worker on numpy:cpu cannot start: no process to be had" in out
    assert (
        "width on numpy:cpu: no two sizes within the last hundredfold could be measured, so it has no exponent" in out
    )
    assert pd.read_csv(tmp_path / "none" / "exponents.csv").empty
    assert set(pd.read_csv(tmp_path / "none" / "scaling.csv")["status"]) == {"failed"}
