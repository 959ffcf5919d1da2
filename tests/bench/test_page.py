"""What `arraybench report` writes: of small runs made here, and as a real browser shows it."""

import functools
import json
import math
import re
import shutil
import sys

import pytest

from bench import answers
from bench.cases import CONTROL, WORKLOADS, Case
from bench.cli import main
from bench.compare.changes import Tables
from bench.explain.report import sentences
from bench.explain.steps import explain
from bench.measurement import Measurement
from bench.page import runs as reader
from bench.page import tables
from bench.page.crossings import crossings
from bench.results import Run, sample_rows, summarise
from bench.statistics import Estimate
from bench.table import write_results
from bench.wording import escaped

from .test_table import BACKENDS, FACTS

pytest.importorskip("altair", reason="altair draws the charts: pip install 'arraybench[report]'")
charts = pytest.importorskip("bench.page.charts")

EVIL = "<script>alert(1)</script> </script> | `x` \u2028 & \"'"
ROOFS = {"numpy:cpu": {"gflop_per_s": {"float32": 900.0, "float64": 450.0}, "gb_per_s": 40.0}}
MACHINE = {
    "machine_id": "m-12345678", "cpu": "a processor", "cores": 2, "memory_bytes": 2**33, "gpus": [], "system": "Linux",
    "libraries": {"numpy": "2.4.6"}, "load_average": [0.1, 0.2, 0.3], "variables": {"OMP_NUM_THREADS": EVIL},
    "backends": BACKENDS, "roofs": ROOFS,
}  # fmt: skip
PRODUCTS = {32: (1e-6, 9e-6), 128: (2e-5, 5e-5), 512: (8e-4, 5e-4), 2048: (5e-2, 3e-2)}
"""Seconds on NumPy and on JAX: their lines cross once."""


def measured(workload, network, implementation, spec, seconds, batch_size=400, dtype="float32", **facts):
    source = "" if workload in WORKLOADS else "own.py"
    case = Case(workload, network, implementation, batch_size, dtype, source=source)
    samples = [(p, r, seconds * (1 + 0.002 * p) * (1 + 0.001 * r)) for p in range(3) for r in range(4)]
    return Measurement(case, spec, facts=[FACTS | {"batch_size": batch_size} | facts] * 3, samples=samples)


def of_products():
    for n, both in PRODUCTS.items():
        for spec, seconds in zip(BACKENDS, both, strict=True):
            yield measured("matmul", f"square-{n}", "matmul", spec, seconds, n, flops=2 * n**3, bytes=12 * n**2)


def of_a_network(network="coffee-2-3-1", **facts):
    ladder = functools.partial(measured, "forward", network, **facts)
    yield ladder("unit", "numpy:cpu", 4e-3)
    yield ladder("matmul", "numpy:cpu", 4e-5)
    yield ladder("matmul", "jax:cpu", 9e-5)
    yield ladder("compiled", "jax:cpu", 2e-5, compile_s=0.3)


def everything():
    return [
        *of_a_network(),
        measured("forward", "coffee-2-3-1", CONTROL, "numpy:cpu", 4e-5),
        *of_a_network("wide-784-512-512-10", parameters=669_706, flops=5 * 10**8, bytes=4 * 10**6),
        *of_products(),
        Measurement(Case("forward", "coffee-2-3-1", "unit", 400), "jax:cpu", "timed_out", EVIL),
        Measurement(Case("forward", "coffee-2-3-1", "example", 400), "jax:cpu", "mismatch", "array 0 differs"),
    ]


def planted(folder, measurements, machine=MACHINE):
    measurements = list(measurements)
    run = Run(folder.name, machine["machine_id"], machine["backends"], machine["roofs"])
    folder.mkdir(parents=True)
    write_results(folder, summarise(measurements, run), sample_rows(measurements, run), machine)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("results") / "one & <i>only<b>", everything())


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("results") / "other", [*of_products(), *of_a_network()])


@pytest.fixture(scope="module")
def page(folder):
    """The page of one run, where it lies when nothing is asked for."""
    assert main(["report", str(folder)]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def overlaid(folder, other, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "both.html"
    assert main(["report", str(folder), str(other), "--output", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def precise_page(precise):
    assert main(["report", str(precise)]) == 0
    return precise / "report.html"


def by_name(*folders):
    return {chart.name: chart for chart in charts.charts(reader.read(folders))}


# Words


def test_every_question_is_answered_or_said_to_be_open(folder):
    (run,) = reader.read([folder])
    found = answers.by_question(run.told)
    assert list(found) == [*answers.THREE, answers.LIBRARY]
    (vectorising,), (compiling,) = found[answers.VECTORISING], found[answers.COMPILING]
    assert (vectorising.word, vectorising.counted) == ("Yes", "faster in 2 of 2")
    assert compiling.word == "Yes"
    assert found[answers.GPU] == []


def test_a_gpu_answers_the_question_of_the_gpu(tmp_path):
    on_gpu = measured("forward", "coffee-2-3-1", "matmul", "jax:gpu:0", 4e-6)
    (run,) = reader.read([planted(tmp_path / "gpu", [*of_a_network(), on_gpu])])
    assert [answer.word for answer in answers.by_question(run.told)[answers.GPU]] == ["Yes"]


def test_the_summary_is_a_table_with_intervals_the_failures_and_the_machine(folder, capsys):
    assert main(["report", str(folder), "--markdown"]) == 0
    text = capsys.readouterr().out
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert re.search(r"\*\*Yes\*\* \| \d.*x \(99%: \d.*x\) \| faster in 2 of 2", text)
    assert "mismatch: array 0 differs" in text
    assert "a processor" in text
    assert "<script>" not in text
    assert "<i>" not in text


def test_where_noise_hides_every_row_page_and_summary_say_so_in_the_place_of_a_range(tmp_path, capsys):
    far_off = measured("forward", "coffee-2-3-1", "compiled", "jax:cpu", 4e-5)
    far_off.samples = [(p, r, seconds * (1e-6, 1, 1e6)[p]) for p, r, seconds in far_off.samples]
    made = planted(tmp_path / "disturbed", [measured("forward", "coffee-2-3-1", "matmul", "numpy:cpu", 4e-5), far_off])
    (run,) = reader.read([made])
    (found,) = answers.by_question(run.told)[answers.LIBRARY]
    assert (found.word, found.reach) == ("Cannot be told", "nothing can be said")
    assert main(["report", str(made), "--markdown"]) == 0
    told = capsys.readouterr().out
    assert "| nothing can be said | unresolved in 1 of 1 |" in told
    assert told.count("The run was too disturbed:") == 1
    assert main(["report", str(made)]) == 0
    assert f"Cannot be told</strong>. {found}." in (made / "report.html").read_text()


def test_markdown_is_taken_out_of_a_text():
    assert escaped("a|b *c* <b>\n[d](e)") == r"a\|b \*c\* &lt;b> \[d\](e)"


# Crossings


def line(**seconds):
    return {int(size[1:]): Estimate(value, value / 1.1, value * 1.1) for size, value in seconds.items()}


def test_a_crossing_of_two_power_laws_is_found_where_they_are_equal():
    sizes = (16, 64, 256, 1024)
    slow = {n: Estimate(1e-4 * n, 0.9e-4 * n, 1.1e-4 * n) for n in sizes}
    steep = {n: Estimate(1e-6 * n**2, 0.9e-6 * n**2, 1.1e-6 * n**2) for n in sizes}
    (found,) = crossings({"slow": slow, "steep": steep})
    assert (found.before, found.after) == ("steep", "slow")
    assert math.isclose(found.size, 100)
    assert math.isclose(found.seconds, 1e-2)
    assert (found.from_size, found.to_size) == (64, 256)
    assert found.told_apart


def test_lines_that_touch_or_share_no_two_sizes_do_not_cross():
    touching = {"one": line(n1=1, n2=2, n4=3), "other": line(n1=2, n2=2, n4=4)}
    assert crossings(touching) == []
    assert crossings({"one": line(n1=1), "other": line(n2=1)}) == []
    assert crossings({"one": line(n1=1, n2=2), "other": line(n1=1, n2=2)}) == []


def test_a_tie_at_which_the_lead_changes_is_the_crossing():
    (found,) = crossings({"one": line(n1=1, n2=2, n4=6), "other": line(n1=2, n2=2, n4=4)})
    assert (found.size, found.seconds, found.before) == (2, 2, "one")


def test_a_crossing_within_the_intervals_is_not_told_apart():
    (found,) = crossings({"one": line(n1=1.0, n2=4.0), "other": line(n1=1.05, n2=3.0)})
    assert not found.told_apart


# Charts


def test_every_kind_of_chart_is_there(folder):
    assert list(by_name(folder)) == [
        "time-products", "time-forward", "waterfall-forward", "speedups-loop", "speedups-numpy", "speedups-eager", "roofline",
        "budget-once", "budget-trip",
    ]  # fmt: skip


def test_the_crossing_of_the_products_is_marked_and_told_as_interpolated(folder):
    chart = by_name(folder)["time-products"]
    marks = [layer for layer in chart.spec["layer"] if layer["mark"].get("shape") == "diamond"]
    (crossing,) = marks[0]["data"]["values"]
    assert 128 < crossing["size"] < 512
    assert f"cross at ≈ {crossing['size']:,.0f}, between 128 and 512" in chart.caption
    assert "interpolated" in chart.caption


def test_networks_have_no_crossing(folder):
    chart = by_name(folder)["time-forward"]
    assert not any(layer["mark"].get("shape") == "diamond" for layer in chart.spec["layer"])


def test_what_was_not_measured_is_in_the_table_with_its_reason_and_in_no_chart(folder, page):
    for chart in by_name(folder).values():
        assert "array 0 differs" not in json.dumps(chart.spec)
        shown = [" ".join(cell.text for cell in row) for row in chart.table.rows]
        assert not any("coffee-2-3-1 unit jax:cpu" in row or "coffee-2-3-1 example" in row for row in shown)
    text = page.read_text(encoding="utf-8")
    assert "array 0 differs" in text
    assert "timed out" in text


def test_the_roof_is_the_measured_one_or_the_case_that_beats_it(folder, tmp_path):
    assert "900 GFLOP/s in float32, 40 GB/s" in by_name(folder)["roofline"].caption
    fast = measured("matmul", "square-512", "matmul", "numpy:cpu", 2 * 512**3 / 1e12, 512, flops=2 * 512**3, bytes=100)
    (chart,) = charts.roofline(reader.read([planted(tmp_path / "fast", [fast])]))
    assert re.search(r"99\d GFLOP/s", chart.caption)
    tops = [point["rate"] for point in chart.spec["layer"][0]["data"]["values"]]
    assert max(tops) == pytest.approx(1000, rel=0.01)


def test_the_budget_has_every_part_once(folder):
    found = by_name(folder)
    rows = {tuple(cell.text for cell in row[:2]): row[2:] for row in found["budget-once"].table.rows}
    row = rows["forward coffee-2-3-1 compiled", "jax:cpu"]
    start, imported, compiling, rest, whole = (cell.key for cell in row)
    assert (start, imported, compiling) == (0.2, 0.1, 0.3)
    assert rest == pytest.approx(0.2)
    assert whole == pytest.approx(0.2 + 0.1 + 0.5)
    assert found["budget-trip"].table.headings[-5:] == [
        "Host to device", "Dispatch", "Device", "Device to host", "All together"
    ]  # fmt: skip


def test_several_runs_are_laid_over_each_other(folder, other):
    chart = by_name(folder, other)["time-products"]
    assert {point["run"] for point in chart.spec["layer"][0]["data"]["values"]} == {"run A", "run B"}
    assert {cell.text for cell in (row[0] for row in chart.table.rows)} == {"A", "B"}


# Time against size of a user's functions


def of_functions(axis="n", sizes=(16, 256, 4096), others=("",), dtype="float32"):
    """A function that grows with the size on NumPy, and costs a call on JAX: they cross at 1,000."""
    for other in others:
        for size in sizes:
            for spec, seconds in (("numpy:cpu", 1e-6 * (size or 1)), ("jax:cpu", 1e-3)):
                yield measured("softmax", f"{axis}={size}{other}", "eager", spec, seconds, 1, dtype=dtype)


def values(chart):
    """What the first layer of a chart draws; what all layers share stands above them."""
    return (chart.spec.get("data") or chart.spec["layer"][0]["data"])["values"]


def test_a_function_is_drawn_against_each_axis_of_numbers_and_its_crossing_is_marked(tmp_path):
    found = by_name(planted(tmp_path / "one", of_functions()))
    chart = found["time-softmax-n"]
    (crossing,) = next(layer for layer in chart.spec["layer"] if layer["mark"].get("shape") == "diamond")["data"][
        "values"
    ]
    assert crossing["size"] == pytest.approx(1000, rel=0.02)
    assert "numpy:cpu eager and jax:cpu eager cross at ≈ 1,000, between 256 and 4,096." in chart.caption
    assert {point["size"] for point in values(chart)} == {16, 256, 4096}
    assert all(point["low"] < point["seconds"] < point["high"] for point in values(chart))


def test_further_axes_have_a_chart_for_each_combination_and_those_of_words_none_of_their_own(tmp_path):
    found = by_name(
        planted(tmp_path / "two", [*of_functions(others=(",k=2,order=C", ",k=8,order=C", ",k=8,order=a/b"))])
    )
    sized = {name: chart for name, chart in found.items() if name.startswith("time-")}
    assert list(sized) == [
        "time-softmax-n-k=2_order=C", "time-softmax-n-k=8_order=C", "time-softmax-n-k=8_order=a_b",
        *(f"time-softmax-k-n={n}_order=C" for n in (16, 256, 4096)),
    ]  # fmt: skip
    assert sized["time-softmax-k-n=16_order=C"].title == "Time of softmax against k, n=16, order=C"


def test_no_two_charts_have_one_name(tmp_path):
    found = charts.charts(reader.read([planted(tmp_path / "alike", of_functions(others=(",kind=a/b", ",kind=a:b")))]))
    sized = [chart.name for chart in found if chart.name.startswith("time-")]
    assert sized == ["time-softmax-n-kind=a_b", "time-softmax-n-kind=a_b-2"]


def test_sizes_may_be_fractions_and_a_single_one_or_zero_has_no_line(tmp_path):
    found = by_name(planted(tmp_path / "fractions", of_functions(sizes=(0, 0.25, 0.5))))
    assert {p["size"] for p in values(found["time-softmax-n"])} == {0.25, 0.5}
    assert "A size of zero or less has no place there" in found["time-softmax-n"].caption
    alone = by_name(planted(tmp_path / "alone", of_functions(sizes=(0, 16))))
    assert not any(name.startswith("time-") for name in alone)


# Precisions


def in_precisions():
    """Softmax and a product in three precisions, the narrowest wrong by a hundredth; NumPy has two of them."""
    for dtype, factor, error in (("float64", 2, 0.0), ("float32", 1, 1e-7), ("bfloat16", 0.5, 1e-2)):
        for n in (16, 4096):
            yield measured(
                "softmax", f"n={n}", "eager", "jax:cpu", 1e-6 * n * factor, 1, dtype=dtype, oracle_error=error
            )
        work = {"flops": 2 * 512**3, "bytes": 12 * 512**2, "oracle_error": error}
        yield measured("matmul", "square-512", "matmul", "jax:cpu", 1e-3 * factor, 512, dtype=dtype, **work)
        if dtype != "bfloat16":
            yield measured("matmul", "square-512", "matmul", "numpy:cpu", 3e-3 * factor, 512, dtype=dtype, **work)


@pytest.fixture(scope="module")
def precise(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("results") / "precise", in_precisions())


def test_every_chart_tells_rows_in_several_precisions_apart(precise):
    found = by_name(precise)
    lines = values(found["time-softmax-n"])
    assert {line["backend"] for line in lines} == {
        "jax:cpu eager in float64", "jax:cpu eager", "jax:cpu eager in bfloat16"
    }  # fmt: skip
    for name in ("budget-once", "budget-trip", "roofline"):
        keys = [tuple(cell.text for cell in row[:3]) for row in found[name].table.rows]
        assert len(set(keys)) == len(keys)
    layers = found["roofline"].spec["layer"]
    assert len({point["roof"] for point in layers[0]["data"]["values"]}) == 3
    assert "GFLOP/s in bfloat16" in found["roofline"].caption


def test_a_speed_up_over_float32_has_its_interval_and_its_error(precise):
    chart = by_name(precise)["speedups-float32"]
    rows = {row[0].text: row for row in chart.table.rows if row[1].text == "jax:cpu"}
    narrow = rows["matmul square-512 matmul in bfloat16"]
    assert re.fullmatch(r"2x ▲ FASTER", narrow[2].text)
    assert re.fullmatch(r"\[.+, .+\]", narrow[2].more)
    assert narrow[3] == ("1.0e-02", 0.01, True, "")
    assert rows["softmax n=16 eager in float64"][3].text == "0"
    labels = [point["row"] for point in chart.spec["layer"][1]["data"]["values"]]
    assert "square products\x1fjax:cpu square-512 in bfloat16, error 1.0e-02" in labels
    assert not any(label.endswith("in float32") for label in labels)


def test_tables_have_a_precision_and_an_error_beside_the_speed_only_where_there_are_several(precise, folder):
    table, *others = tables.of_all_rows(reader.read([precise]))
    place = table.headings.index("Over float32")
    assert table.headings[place + 1] == "Error"
    assert {row[table.headings.index("Precision")].text for row in table.rows} == {"float64", "float32", "bfloat16"}
    assert all("Precision" in other.headings for other in others)
    assert not any("Precision" in plain.headings for plain in tables.of_all_rows(reader.read([folder])))


def test_a_precision_is_a_question_of_its_own_and_its_errors_are_told(precise, capsys):
    (run,) = reader.read([precise])
    found = answers.by_question(run.told)[answers.PRECISION]
    told = next(answer for answer in found if answer.title.startswith("bfloat16"))
    assert str(told).endswith("faster in 3 of 3; errors up to 1.0e-02")
    assert told.word == "Yes"
    assert main(["report", str(precise), "--markdown"]) == 0
    assert "bfloat16 over float32, jax:cpu; errors up to 1.0e-02" in capsys.readouterr().out


def test_what_a_suite_of_precisions_could_not_have_is_told_and_other_questions_are_not_asked(tmp_path):
    absent = Measurement(
        Case("matmul", "square-512", "matmul", 512, tf32=True), "jax:cpu", "unavailable", "no TF32 here"
    )
    products = [m for m in in_precisions() if m.case.workload == "matmul"]
    made = planted(tmp_path / "suite", [*products, absent])
    assert list(answers.by_question(reader.read([made])[0].told)) == [answers.PRECISION]
    assert main(["report", str(made)]) == 0
    assert "<li>jax:cpu: no TF32 here</li>" in (made / "report.html").read_text(encoding="utf-8")


# Steps


def test_a_waterfall_has_the_steps_of_every_network_in_words_and_figures(folder):
    chart = by_name(folder)["waterfall-forward"]
    assert [heading for heading, _ in chart.told] == ["forward coffee-2-3-1", "forward wide-784-512-512-10"]
    (run,) = reader.read([folder])
    own = explain(Tables.read(run.folder), network="coffee*").told[0]
    assert chart.told[0][1] == tuple(sentences(own))
    rows = [[cell.text for cell in row] for row in chart.table.rows][:4]
    assert [row[1] for row in rows] == ["loop", "matmul", "compiled", "all together"]
    assert [row[4] for row in rows] == ["1x BASELINE", "100x ▲ FASTER", "2x ▲ FASTER", "200x ▲ FASTER"]
    bars = chart.spec["layer"][1]["data"]["values"]
    assert bars[0]["end"] == pytest.approx(bars[1]["start"])
    assert bars[2]["end"] == pytest.approx(bars[1]["end"])
    assert all(bar["low"] <= bar["end"] <= bar["high"] for bar in bars)


def test_steps_of_several_runs_stand_under_each_other_by_network(folder, other):
    chart = by_name(folder, other)["waterfall-forward"]
    assert [heading for heading, _ in chart.told] == [
        "A  forward coffee-2-3-1", "B  forward coffee-2-3-1", "A  forward wide-784-512-512-10"
    ]  # fmt: skip


def test_a_step_of_precision_says_which_one_and_what_it_began_with(precise):
    chart = by_name(precise)["waterfall-matmul"]
    rows = [[cell.text for cell in row[1:3]] for row in chart.table.rows]
    assert rows[:2] == [
        ["NumPy", "numpy:cpu/matmul in float64"], ["lower precision", "numpy:cpu/matmul in float32"]
    ]  # fmt: skip
    (first,) = chart.spec["layer"][3]["data"]["values"]
    step, whole = chart.spec["layer"][1]["data"]["values"]
    assert "NumPy, numpy:cpu/matmul in float64: 6." in first["row"]
    assert "lower precision, float32: 2x ±" in step["row"]
    assert "≠" not in step["row"] + whole["row"]


def test_what_has_a_single_step_has_no_waterfall(tmp_path):
    assert not any("waterfall" in name for name in by_name(planted(tmp_path / "products", of_products())))


def test_a_run_of_one_process_has_a_page_without_intervals(tmp_path):
    single = [
        Measurement(m.case, m.spec, facts=m.facts[:1], samples=[s for s in m.samples if s[0] == 0])
        for m in of_products()
    ]
    found = by_name(planted(tmp_path / "single", single))
    assert "time-products" in found
    assert not any(name.startswith(("speedups", "waterfall")) for name in found)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_every_chart_becomes_a_picture(folder, tmp_path, kind):
    pictures = tmp_path / "a" / "pictures"
    assert (
        main(
            ["report", str(folder), "--output", str(tmp_path / "p.html"), "--pictures", str(pictures), "--format", kind]
        )
        == 0
    )
    files = {file.stem: file.read_bytes() for file in pictures.iterdir()}
    assert set(files) == set(by_name(folder))
    for content in files.values():
        assert content.startswith(b"<svg" if kind == "svg" else b"\x89PNG")
        assert b"var(--" not in content
        assert len(content) > 3000


# What is refused


def refusal(arguments, capsys):
    assert main(["report", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_what_is_no_run_is_refused_in_one_sentence(folder, tmp_path, capsys):
    assert "is not the folder of a run" in refusal([tmp_path], capsys)
    assert "is given twice" in refusal([folder, folder / "summary.csv"], capsys)
    old = shutil.copytree(folder, tmp_path / "old")
    table = (old / "summary.csv").read_text(encoding="utf-8")
    (old / "summary.csv").write_text(table.replace(",m-12345678,2,", ",m-12345678,1,"), encoding="utf-8")
    assert "has schema version 1" in refusal([old], capsys)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "journal.json").touch()
    assert "is not finished" in refusal([tmp_path / "unfinished"], capsys)


def test_where_nothing_can_be_written_the_reason_is_told_and_the_old_page_stays(folder, tmp_path, capsys):
    assert "No such file" in refusal([folder, "--output", tmp_path / "absent" / "page.html"], capsys)
    (tmp_path / "page.html").write_text("before")
    (tmp_path / ".page.html.partial").symlink_to("/dev/full")
    assert "No space left" in refusal([folder, "--output", tmp_path / "page.html"], capsys)
    assert (tmp_path / "page.html").read_text() == "before"


def test_a_library_that_is_missing_is_a_line_to_type(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    for name in ("charts", "page"):
        monkeypatch.delitem(sys.modules, f"bench.page.{name}", raising=False)
        monkeypatch.delattr(f"bench.page.{name}", raising=False)
    told = refusal([folder, "--output", tmp_path / "page.html"], capsys)
    assert "altair" in told
    assert "python -m pip install 'arraybench[report]'" in told
    assert main(["report", str(folder), "--markdown"]) == 0


# In a browser


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright drives the browser: pip install playwright"
    )
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    binary = next(filter(None, map(shutil.which, names)), None)
    if binary is None:
        pytest.skip("there is no Chromium here to open the page with")
    quiet = ("background-networking", "component-update", "sync")
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", *(f"--disable-{what}" for what in quiet)]
    with playwright.sync_playwright() as engine:
        # No limit on the time: a test says nothing about how busy the machine is.
        running = engine.chromium.launch(executable_path=binary, args=arguments, timeout=0)
        yield running
        running.close()


@pytest.fixture
def opened(browser):
    """Open a page; whatever it complains of or asks the network for fails the test."""
    complaints, asked, contexts = [], [], []

    def open_page(file, width=1280, scheme="light"):
        contexts.append(
            browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        )
        contexts[-1].set_default_timeout(0)
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        # Not `wait_for_function`: it evaluates a text, which the page's policy forbids.
        while tab.locator(".chart:not([data-drawn])").count() and not complaints:
            tab.wait_for_timeout(20)
        return tab

    yield open_page
    assert complaints == []
    assert len(asked) == len(contexts)
    assert all(url.startswith("file:") for url in asked)
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("which", "count"), [("page", 9), ("overlaid", 9), ("precise_page", 7)])
def test_every_chart_is_drawn_with_its_marks(opened, which, count, request):
    tab = opened(request.getfixturevalue(which))
    drawn = tab.eval_on_selector_all(
        "#charts figure",
        """figures => figures.map(figure => [
            figure.querySelectorAll(".mark-symbol.role-mark path, .mark-rect.role-mark path").length,
            figure.querySelectorAll("tbody tr").length,
        ])""",
    )
    assert len(drawn) == count
    assert all(marks >= rows > 1 for marks, rows in drawn)


def test_a_page_has_what_a_screen_reader_goes_by(opened, page):
    tab = opened(page)
    assert tab.locator("main, header, nav[aria-label], section[aria-labelledby]").count() == 7
    for chart in tab.locator(".chart").all():
        assert chart.get_attribute("role") == "img"
        assert len(chart.get_attribute("aria-label")) > 40
    assert tab.locator("figure").count() == tab.locator("figure details table").count()
    assert tab.locator("table").count() == tab.locator("table > caption").count()
    assert tab.locator("th:not([scope])").count() == 0
    assert tab.title().startswith("What pays here: one & <i>only<b>")


def test_what_comes_from_files_stays_text(opened, page):
    tab = opened(page)
    assert "alert" not in " ".join(tab.locator("script:not([type])").all_text_contents()[1:])
    assert tab.locator("h1 i, li i, .name i").count() == 0
    assert EVIL.split()[0] in tab.locator("#machine").inner_text()


def column(tab, name):
    headings = [text.strip() for text in tab.locator("#rows table").first.locator("thead th").all_inner_texts()]
    place = next(index for index, text in enumerate(headings) if text.startswith(name))
    body = "#rows details:first-of-type tbody tr"
    keys = tab.eval_on_selector_all(body, f"rows => rows.map(row => row.cells[{place}].dataset.key ?? '')")
    return place, [float(key) if key else None for key in keys]


def test_a_click_sorts_by_numbers_and_a_second_one_the_other_way_round(opened, page):
    tab = opened(page)
    place, before = column(tab, "Time")
    heading = tab.locator("#rows table").first.locator("thead th").nth(place)
    known = sorted(key for key in before if key is not None)
    missing = [None] * before.count(None)
    assert before != known + missing
    assert missing
    heading.locator("button").click()
    assert column(tab, "Time")[1] == known + missing
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").click()
    assert column(tab, "Time")[1] == known[::-1] + missing
    assert heading.get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("stroke", ["Enter", "Space"])
def test_the_keyboard_sorts_too_and_the_focus_can_be_seen(opened, page, stroke):
    tab = opened(page)
    place, before = column(tab, "Time")
    tab.locator("#rows .scroll").first.focus()
    for _ in range(place + 1):
        tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent").startswith("Time")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press(stroke)
    assert column(tab, "Time")[1] == sorted(key for key in before if key is not None) + [None] * before.count(None)


@pytest.mark.parametrize("which", ["page", "overlaid", "precise_page"])
def test_nothing_is_wider_than_a_phone(opened, which, request):
    tab = opened(request.getfixturevalue(which), width=360)
    tab.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate(
        "[...document.querySelectorAll('.chart svg')].every(s => s.getBoundingClientRect().right <= 360)"
    )


def test_labels_leave_the_whole_width_of_a_phone_to_the_marks(opened, overlaid):
    tab = opened(overlaid, width=360)
    widths = tab.eval_on_selector_all(".chart svg .mark-group.role-frame.root > g > path.background", WIDTH)
    assert len(widths) == 9
    assert min(widths) > 200


WIDTH = "paths => paths.map(path => path.getBBox().width)"
COLOURS = """[...document.querySelectorAll('.chart svg path, .chart svg text')]
    .flatMap(mark => [getComputedStyle(mark).fill, getComputedStyle(mark).stroke])"""


def test_the_dark_scheme_changes_the_colours_of_charts_and_page_and_print_is_light(opened, page):
    tab = opened(page)
    light = tab.evaluate(COLOURS)
    paper = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate(COLOURS)
    assert len(light) == len(dark)
    assert set(light) & set(dark) <= {"none", "rgba(0, 0, 0, 0)", "transparent"}
    assert tab.evaluate("getComputedStyle(document.documentElement).backgroundColor") != paper
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate(COLOURS) == light


def test_charts_are_dark_from_the_start_where_the_scheme_is(opened, page):
    tab = opened(page, scheme="dark")
    dark = tab.evaluate(COLOURS)
    tab.emulate_media(color_scheme="light")
    assert tab.evaluate(COLOURS) != dark
