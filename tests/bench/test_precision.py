"""Precision as an axis of a case: what is available where, what the gate lets through, and what is compared with what."""

import contextlib
import dataclasses
import importlib
import io
import sys

import numpy as np
import pytest
from rich.console import Console

import backends
from backends import host
from bench import gate, preparation, read_results, report, workloads
from bench.cases import CONTROL, PRECISIONS, SUITES, Case, all_cases, precision_cases
from bench.cli import main
from bench.compare.changes import Tables
from bench.comparison import Rivals
from bench.measurement import Measurement
from bench.preparation import UnmeasuredError, prepare
from bench.results import Run, sample_rows, summarise
from bench.selftest import sabotage
from bench.selftest.faults import library
from bench.table import read_samples, write_results

from .test_table import BACKENDS, FACTS

WIDE = "wide-784-512-512-10"
FAULTS = {fault.name: fault for fault in sabotage.FAULTS}
USABLE = [f"{found.name}:{device}" for found in backends.status() for device in found.devices]
TF32_SETTINGS = {
    "jax": lambda: importlib.import_module("jax").config.jax_default_matmul_precision,
    "torch": lambda: importlib.import_module("torch").get_float32_matmul_precision(),
    "cupy": lambda: importlib.import_module("cupy")._core.get_compute_type("float32"),
}


def in_precision(precision, workload="matmul", network="square-64", examples=64, implementation="matmul"):
    return dataclasses.replace(Case(workload, network, implementation, examples), **PRECISIONS[precision])


@pytest.fixture(params=[spec for spec in USABLE if "bfloat16" in backends.get(spec).dtypes])
def narrow(request):
    """Every backend here that has bfloat16."""
    return backends.get(request.param)


@pytest.fixture(params=[spec for spec in USABLE if backends.get(spec).name in TF32_SETTINGS])
def settable(request):
    """Every backend here whose library may be asked for TF32."""
    return backends.get(request.param)


# The axis


def test_a_case_is_named_by_its_precision_where_that_is_not_float32():
    ids = {precision: in_precision(precision).id for precision in PRECISIONS}
    assert ids.pop("float32") == "matmul/square-64/matmul"
    assert ids == {name: f"matmul/square-64/matmul/{name}" for name in ("float64", "tf32", "bfloat16")}
    assert [in_precision(name).precision for name in PRECISIONS] == list(PRECISIONS)
    assert [in_precision(name).dtype for name in PRECISIONS] == ["float64", "float32", "float32", "bfloat16"]


@pytest.mark.parametrize(
    ("rest", "asked"), [({"dtype": "float16"}, "float16"), ({"dtype": "float64", "tf32": True}, "tf32 of float64")]
)
def test_a_precision_that_is_none_is_one_sentence(rest, asked):
    sentence = f"a case is in one of float64, float32, tf32, bfloat16, not in {asked}"
    with pytest.raises(backends.ArraybenchError, match=sentence):
        Case("matmul", "square-64", "matmul", 64, **rest)


def test_the_suite_has_products_and_a_network_in_every_precision_in_one_group_each():
    cases = precision_cases()
    assert len({case.id for case in cases}) == len(cases)
    measured = [case for case in cases if case.implementation != CONTROL]
    for precision in PRECISIONS:
        own = {(case.group, case.implementation) for case in measured if case.precision == precision}
        assert own == {(case.group, case.implementation) for case in measured}
    assert {case.workload for case in cases} == {"matmul", "forward", "step"}
    assert {case.implementation for case in measured} == {"matmul", "compiled"}


def test_the_ladder_stays_in_float32():
    assert {case.precision for case in all_cases()} == {"float32"}
    assert [*SUITES] == ["ladder", "peers", "precision", "large"]


# What a backend has


def test_bfloat16_goes_to_a_backend_and_comes_back(narrow):
    bfloat16 = host.numpy_dtype("bfloat16")
    for values in (np.linspace(-3, 3, 12).reshape(3, 4), np.asarray(1.0), np.zeros((0, 2))):
        given = values.astype(bfloat16)
        for placed in (narrow.asarray(given), narrow.asarray(values, "bfloat16")):
            back = narrow.to_numpy(placed)
            assert back.dtype == bfloat16
            np.testing.assert_array_equal(back, given, strict=True)
    again = narrow.to_numpy(narrow.asarray(narrow.asarray(np.ones(3, "float32")), "bfloat16"))
    assert again.dtype == bfloat16


def test_what_a_library_lacks_is_unavailable_with_the_reason():
    for precision, reason in (("bfloat16", "numpy has no bfloat16"), ("tf32", "numpy has no TF32")):
        with pytest.raises(UnmeasuredError, match=reason) as refused:
            prepare(in_precision(precision), backends.get("numpy"), 1.0)
        assert refused.value.status == "unavailable"


def test_tf32_is_refused_where_the_hardware_does_not_do_it(settable):
    with settable.tf32():
        found = settable.matmul_precision()
    if found == "tf32":
        assert prepare(in_precision("tf32"), settable, 1.0).facts["matmul_precision"] == "tf32"
        assert settable.matmul_precision() == "float32"
    else:
        with pytest.raises(UnmeasuredError, match=f"{settable.name} makes products of float32 in {found} here"):
            prepare(in_precision("tf32"), settable, 1.0)


def test_a_setting_for_tf32_is_left_as_it_was_whatever_happens(settable):
    setting = TF32_SETTINGS[settable.name]
    before = setting()
    with contextlib.suppress(ZeroDivisionError), settable.tf32():
        within = setting()
        raise ZeroDivisionError
    assert within != before
    assert setting() == before


class Rounding:
    """NumPy with products whose factors keep TF32's 11 bits, while it is allowed: a GPU, as far as a case can tell."""

    def __init__(self):
        self.allowed = False

    @contextlib.contextmanager
    def tf32(self):
        self.allowed = True
        yield
        self.allowed = False

    def matmul(self, a, b):
        if self.allowed and a.dtype == np.float32:
            a, b = library.rounded(a, 11), library.rounded(b, 11)
        return np.matmul(a, b)


@pytest.fixture
def rounding():
    numpy, rounding = backends.get("numpy"), Rounding()
    backend = library.with_functions(numpy, matmul=rounding.matmul)
    backend.tf32 = rounding.tf32
    return backend


@pytest.mark.parametrize("workload", ["forward", "step"])
def test_what_computes_in_tf32_passes_and_is_sampled_in_it(rounding, workload):
    case = in_precision("tf32", workload, WIDE, 400)
    subject = prepare(case, rounding, 1.0)
    assert subject.facts["matmul_precision"] == "tf32"
    assert gate.TOLERANCE["float32"] < subject.facts["oracle_error"] <= gate.tolerance(case)
    assert subject.facts["result_dtype"] == "float32"
    seen = []
    call = subject.call

    def spy():
        seen.append(rounding.matmul_precision())
        return call()

    dataclasses.replace(subject, call=spy, once_s=1.0).block(0.0)
    assert set(seen) == {"tf32"}
    assert rounding.matmul_precision() == "float32"


def test_products_in_tf32_are_still_refused_in_float32(rounding):
    with rounding.tf32():
        case = in_precision("float32", "forward", WIDE, 400)
        judgement = sabotage.judge(case, workloads.build(case, rounding, 400), rounding)
    assert "differs from the float64 oracle" in judgement.refusal


def test_without_ml_dtypes_a_sentence_says_what_to_install(monkeypatch, narrow):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(UnmeasuredError, match=r"ml_dtypes.* is not installed") as refused:
        prepare(in_precision("bfloat16"), narrow, 1.0)
    assert refused.value.status == "unavailable"


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("workload", ["epoch", "predict"])
def test_epochs_and_predictions_stay_in_wide_precisions(precision, workload, backend):
    case = in_precision(precision, workload, "coffee-2-3-1", 32)
    with pytest.raises(UnmeasuredError, match=f"{workload} is not measured in {precision}"):
        prepare(case, backend, 1.0)


# The gate


@pytest.mark.parametrize("implementation", ["matmul", "compiled"])
@pytest.mark.parametrize("workload", ["forward", "backward", "step"])
def test_bfloat16_passes_the_gate_with_an_error_of_its_own(narrow, workload, implementation):
    case = in_precision("bfloat16", workload, WIDE, 400, implementation)
    subject = prepare(case, narrow, 1.0)
    assert 2**-9 < subject.facts["oracle_error"] <= gate.tolerance(case)
    assert subject.facts["result_dtype"] == ("float32" if workload == "step" else "bfloat16")


@pytest.mark.parametrize("n", [60, 256])
def test_a_products_factor_is_exact_in_every_precision(n):
    for precision in PRECISIONS:
        problem = workloads.build(in_precision(precision, "matmul", f"square-{n}", n), backends.get("numpy"), n)
        a, b = (array.astype("float64") for array in problem.inputs)
        np.testing.assert_allclose(problem.oracle()[0], a @ b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("fault", "workload"),
    [
        ("no relu in the first layer", "forward"),
        ("no relu in the first layer", "step"),
        ("bias dropped in the first layer", "forward"),
        ("bias dropped in the first layer", "step"),
        ("bias dropped in the last layer", "step"),
        ("missing one over n", "step"),
        ("no bias correction", "step"),
        ("averages are not kept", "step"),
        ("product leaves out its last term", "forward"),
    ],
)
def test_a_gross_fault_is_refused_in_bfloat16(narrow, fault, workload):
    row = sabotage.rejection(FAULTS[fault], in_precision("bfloat16", workload, WIDE, 400), narrow, 0)
    assert row["honest_error"] <= row["tolerance"]
    assert row["rejected"], row["reason"]
    assert row["error"] > row["tolerance"]


def test_adam_all_in_bfloat16_would_not_move(narrow):
    beta = narrow.asarray(0.999, "bfloat16")
    assert float(narrow.to_numpy(beta)) == 1.0


def test_a_result_in_another_dtype_is_refused(narrow):
    with pytest.raises(gate.MismatchError, match="array 0 is of float32, the case of bfloat16"):
        gate.judge(in_precision("bfloat16"), [np.ones(3, "float32")], [np.ones(3)])


def test_subnormals_of_bfloat16_are_counted(narrow):
    values = np.array([0.0, 1.0, 1e-39, 2e-38], "float32").astype(host.numpy_dtype("bfloat16"))
    assert preparation._subnormals(values) == 1


# What is compared


def measured(precision, implementation="matmul", spec="jax:cpu", seconds=1e-3, **facts):
    case = in_precision(precision, "forward", WIDE, 400, implementation)
    known = FACTS | {"result_dtype": case.result_dtype} | facts
    samples = [(p, i // 4, seconds * (1 + 0.001 * i) * (1 + 0.01 * p)) for p in range(3) for i in range(20)]
    return Measurement(case, spec, facts=[known] * 3, samples=samples)


@pytest.fixture
def four():
    return [
        measured("float32", spec="numpy:cpu", seconds=3e-3),
        measured("float64", spec="numpy:cpu", seconds=6e-3, oracle_error=1e-15),
        measured("float32", seconds=2e-3),
        measured("float64", seconds=4e-3),
        measured("bfloat16", seconds=1e-3, oracle_error=3e-2),
        Measurement(in_precision("tf32", "forward", WIDE, 400), "jax:cpu", "unavailable", "jax has none"),
    ]


def test_a_precision_is_compared_with_float32_of_the_same_implementation_on_the_same_backend(four):
    numpy32, numpy64, jax32, jax64, narrow, _ = four
    rivals = Rivals([*four, measured("float32", "compiled", seconds=1e-4)], BACKENDS)
    assert rivals.float32(narrow) is jax32
    assert rivals.float32(jax32) is None
    assert jax32 in rivals.others(narrow)
    row = rivals.columns(narrow)
    assert row["speedup_over_float32"] == pytest.approx(2)
    assert row["speedup_over_float32_ci_low"] <= 2 <= row["speedup_over_float32_ci_high"]
    assert row["verdict_over_float32"] == "FASTER"
    assert rivals.columns(jax64)["verdict_over_float32"] == "SLOWER"
    assert rivals.baseline(jax64) is numpy64
    assert rivals.baseline(narrow) is numpy32


def test_a_row_in_another_precision_is_not_like_for_like(four):
    backends_ = {spec: facts | {"threads": 2} for spec, facts in BACKENDS.items()}
    narrow = Rivals(four, backends_).columns(four[4])
    assert narrow["unlike"] == "dtype float32 and bfloat16; result_dtype float32 and bfloat16"
    allowed = measured("tf32", matmul_precision="tf32")
    assert Rivals([*four[:5], allowed], backends_).columns(allowed)["unlike"] == "matmul_precision float32 and tf32"


def test_products_of_a_precision_are_its_roof():
    products = [
        Measurement(in_precision(precision), "jax:cpu", facts=[FACTS], samples=own.samples)
        for precision, own in (("bfloat16", measured("bfloat16")), ("float32", measured("float32")))
    ]
    roofs = {"jax:cpu": {"gflop_per_s": {"float32": 1e3}, "gb_per_s": 10.0}}
    frame = summarise(products, Run("a-run", "m-1", BACKENDS, roofs)).set_index("precision")
    assert frame.loc["bfloat16", "fraction_of_peak"] == pytest.approx(1)
    assert frame.loc["float32", "fraction_of_peak"] < 0.1


def test_a_run_in_several_precisions_is_read_back_with_its_samples(tmp_path, four):
    run = Run("a-run", "m-1", BACKENDS)
    (tmp_path / "run").mkdir()
    write_results(tmp_path / "run", summarise(four, run), sample_rows(four, run), {"machine_id": "m-1"})
    read = Tables.read(tmp_path / "run").measurements
    assert {str(name) for name in read} == {f"{own.case.id} on {own.spec}" for own in four}
    written = {m.case.precision: m for m in four if m.spec == "jax:cpu"}
    for own in (m for m in read.values() if m.spec == "jax:cpu"):
        np.testing.assert_allclose(
            own.samples, written.pop(own.case.precision).samples, rtol=1e-12
        )  # pandas 3.0 rounds
    assert not written
    assert set(read_samples(tmp_path / "run")["precision"]) == {"float32", "float64", "bfloat16"}


def test_a_run_from_before_there_were_precisions_is_read(tmp_path, four):
    run = Run("a-run", "m-1", BACKENDS)
    old = [four[0], four[2]]
    (tmp_path / "run").mkdir()
    write_results(tmp_path / "run", summarise(old, run), sample_rows(old, run), {"machine_id": "m-1"})
    for file in ("summary.csv", "samples.csv"):
        frame = read_results(tmp_path / "run") if file == "summary.csv" else read_samples(tmp_path / "run")
        frame.drop(columns="precision").to_csv(tmp_path / "run" / file, index=False)
    for own, before in zip(Tables.read(tmp_path / "run").measurements.values(), old, strict=True):
        np.testing.assert_allclose(own.samples, before.samples, rtol=1e-12)


# What is printed


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_has_an_error_beside_every_speed(four, width):
    wrong = measured("float32", "compiled", "numpy:cpu")
    wrong.status, wrong.reason = "mismatch", "array 0 differs"
    stream = io.StringIO()
    frame = summarise([*four, wrong], Run("a-run", "m-1", BACKENDS))
    report.show(frame, Console(file=stream, width=width, highlight=False))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines if "[…]" not in line)
    assert lines[0].startswith(f"{WIDE}, forward: time for one example, in batches of 400")
    line = next(line.split() for line in lines if line.split()[:1] == ["bfloat16"])
    assert line[1:5] == ["2.55", "µs", "3.0e-02", "2x"]
    assert any("bfloat16 over float32, jax:cpu:" in line and "faster in 1 of 1" in line for line in lines)
    assert "jax:cpu: jax has none" in lines
    assert [line.split()[0] for line in lines if line[2:9] in ("numpy:c", "jax:cpu")] == 2 * ["numpy:cpu"] + ["jax:cpu"]
    assert any(line.split()[1:] == ["compiled", "float32", "mismatch"] for line in lines)


@pytest.mark.usefixtures("_no_roof")
def test_a_run_of_the_suite(tmp_path, capsys):
    arguments = ["--only", "matmul/square-256/*", "--backends", "numpy", "--time", "0", "--name", "try"]
    assert main(["run", "--suite", "precision", "--results", str(tmp_path), *arguments]) == 0
    frame = read_results(tmp_path / "try").set_index("precision")
    assert frame["status"].to_dict() == {
        "float64": "ok", "float32": "ok", "tf32": "unavailable", "bfloat16": "unavailable",
    }  # fmt: skip
    assert frame.loc["float64", "oracle_error"] < 1e-12 < frame.loc["float32", "oracle_error"]
    assert frame.loc["float64", "verdict_over_float32"] != "-"
    printed = capsys.readouterr().out
    assert "square-256, time for one product" in printed
    assert "numpy:cpu: numpy has no TF32; numpy has no bfloat16" in printed
