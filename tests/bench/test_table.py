import dataclasses
import json
import math

import pandas as pd
import pytest

from bench import ResultsError, read_results
from bench.cases import Case
from bench.measurement import Measurement
from bench.results import Run, sample_rows, summarise
from bench.table import ADDED, COLUMNS, write_results

FACTS = {
    "batch_size": 400, "parameters": 13, "first_call_s": 0.5, "compile_s": 0.4, "host_to_device_s": 1e-5,
    "dispatch_s": 1e-5, "device_s": 1e-6, "device_to_host_s": 1e-5, "end_to_end_s": 4e-5, "process_start_s": 0.2,
    "import_s": 0.1, "flops": 7200, "bytes": 100, "oracle_error": 1e-8, "checked": True, "peak_memory_bytes": 1000,
    "result_dtype": "float32", "subnormals": 0, "threads_in_effect": 1.0,
}  # fmt: skip
BACKENDS = {
    "numpy:cpu": {"version": "2.4.6", "matmul_precision": "float32", "threads": 2},
    "jax:cpu": {"version": "0.10.2", "matmul_precision": "float32", "threads": None},
}


def measured(implementation, spec, seconds, batch_size=400, **facts):
    case = Case("forward", "coffee-2-3-1", implementation, 400)
    samples = [(p, i // 4, seconds * (1 + 0.001 * i) * (1 + 0.01 * p)) for p in range(3) for i in range(20)]
    return Measurement(case, spec, facts=[FACTS | {"batch_size": batch_size} | facts] * 3, samples=samples)


@pytest.fixture
def run():
    return Run("a-run", "m-12345678", BACKENDS)


@pytest.fixture
def measurements():
    return [
        measured("unit", "numpy:cpu", 4e-3, batch_size=100),
        measured("matmul", "numpy:cpu", 4e-5),
        measured("compiled", "jax:cpu", 2e-5),
        Measurement(Case("forward", "coffee-2-3-1", "compiled", 400), "numpy:cpu", "unavailable", "no compiler"),
        Measurement(Case("forward", "coffee-2-3-1", "unit", 400), "jax:cpu", "timed_out", "too slow"),
    ]


def test_pandas_reads_the_dtypes_back_without_help(tmp_path, measurements, run):
    frame = summarise(measurements, run)
    (tmp_path / "run").mkdir()
    write_results(tmp_path / "run", frame, sample_rows(measurements, run), {"machine_id": "m-12345678"})
    plain = pd.read_csv(tmp_path / "run" / "summary.csv")
    assert {name: str(dtype) for name, dtype in plain.dtypes.items()} == COLUMNS
    pd.testing.assert_frame_equal(plain, frame)
    pd.testing.assert_frame_equal(read_results(tmp_path / "run"), frame)
    samples = pd.read_csv(tmp_path / "run" / "samples.csv")
    assert len(samples) == 180
    assert json.loads((tmp_path / "run" / "machine.json").read_text())["machine_id"] == "m-12345678"


def test_a_run_may_be_called_like_a_number(tmp_path, measurements, run):
    frame = summarise(measurements, dataclasses.replace(run, run_id="1e5"))
    write_results(tmp_path, frame, [], {})
    assert set(read_results(tmp_path)["run_id"]) == {"1e5"}


def test_a_table_without_any_figure_keeps_its_dtypes_too(tmp_path, measurements, run):
    frame = summarise(measurements[3:], run)
    write_results(tmp_path, frame, [], {})
    assert {name: str(dtype) for name, dtype in pd.read_csv(tmp_path / "summary.csv").dtypes.items()} == COLUMNS


def test_launches_are_told_where_they_were_counted_and_else_left_blank(tmp_path, run):
    counted = [
        measured("matmul", "cupy:gpu:0", 4e-5, launches=12),
        measured("matmul", "numpy:cpu", 4e-5, launches=None),
    ]
    write_results(tmp_path, summarise(counted, run), [], {})
    assert read_results(tmp_path)["launches"].tolist() == pytest.approx([12.0, math.nan], nan_ok=True)


def test_speed_ups_are_for_each_example_against_numpys_loop(measurements, run):
    frame = summarise(measurements, run).set_index(["implementation", "backend"])
    assert frame.loc[("matmul", "numpy"), "speedup"] == pytest.approx(400)  # 4e-3 / 100 against 4e-5 / 400
    assert frame.loc[("compiled", "jax"), "speedup"] == pytest.approx(800)
    assert frame.loc[("compiled", "jax"), "speedup_over_numpy"] == pytest.approx(2)
    assert frame.loc[("unit", "numpy"), "verdict"] == "BASELINE"
    assert frame.loc[("matmul", "numpy"), "verdict"] == "FASTER"
    assert set(frame["baseline"]) == {"numpy:cpu/unit", "-"}


def test_the_faster_of_the_two_loops_is_the_baseline(run):
    rows = [measured("hand_written", "numpy:cpu", 2e-3), measured("unit", "numpy:cpu", 4e-3)]
    frame = summarise(rows, run)
    assert frame["baseline"].tolist() == ["numpy:cpu/hand_written"] * 2
    assert frame["speedup"].tolist() == pytest.approx([1.0, 0.5])


def test_what_is_not_measured_has_no_speed_up_and_a_reason(measurements, run):
    frame = summarise(measurements, run)
    left_out = frame[frame["status"] != "ok"]
    assert left_out[["speedup", "median_s", "examples_per_s"]].isna().all(axis=None)
    assert left_out["reason"].tolist() == ["no compiler", "too slow"]
    assert not left_out["checked"].any()


def test_break_even_is_the_first_call_over_what_a_call_saves(measurements, run):
    frame = summarise(measurements, run).set_index(["implementation", "backend"])
    saved = (frame.loc[("matmul", "numpy"), "median_s"] - frame.loc[("compiled", "jax"), "median_s"]).item()
    assert frame.loc[("compiled", "jax"), "break_even_calls"] == pytest.approx((0.5 + 1e-5) / saved)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, measurements, run):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match=r"cannot write results to .*file"):
        write_results(tmp_path / "file" / "run", summarise(measurements, run), [], {})


def test_another_schema_is_refused(tmp_path, measurements, run):
    write_results(tmp_path, summarise(measurements, run).assign(schema_version=99), [], {})
    with pytest.raises(ResultsError, match="schema version 99; this version of arraybench reads 2"):
        read_results(tmp_path)


def test_what_is_no_table_of_results_is_refused(tmp_path):
    (tmp_path / "summary.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="lacks run_id"):
        read_results(tmp_path)
    with pytest.raises(ResultsError, match="cannot read results"):
        read_results(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["status", "batch_size"])
def test_a_table_that_is_cut_off_is_refused(name, tmp_path, measurements, run):
    frame = summarise(measurements, run).astype({"batch_size": object})
    frame.loc[len(frame) - 1, name] = None
    frame.to_csv(tmp_path / "summary.csv", index=False)
    with pytest.raises(ResultsError, match=f"is cut off or damaged: its row {len(frame)} has no {name}; measure again"):
        read_results(tmp_path)


def test_every_column_is_explained_in_the_results_readme(pytestconfig):
    text = (pytestconfig.rootpath / "results" / "README.md").read_text()
    assert [name for name in COLUMNS if f"`{name}`" not in text] == []


def test_a_table_from_before_there_were_peers_is_read(tmp_path, measurements, run):
    frame = summarise(measurements, run)
    write_results(tmp_path, frame.drop(columns=list(ADDED)), [], {})
    pd.testing.assert_frame_equal(read_results(tmp_path)[list(frame)], frame)
