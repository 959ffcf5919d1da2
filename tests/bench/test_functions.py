import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest

import backends
import bench
from backends import ArraybenchError
from bench import functions, gate, read_results
from bench.cases import CONTROL
from bench.cli import main
from bench.journal import Journal
from bench.preparation import UnmeasuredError, prepare
from tests import own_functions


@pytest.fixture
def numpy():
    return backends.get("numpy")


def declared(function, inputs=lambda: np.arange(6.0), **options):
    bench.case(inputs, **options)(function)
    return getattr(function, functions.ATTRIBUTE)


def problem(found, backend, compiled=False):
    (values,) = found.variants.values()
    return functions.build(found, values, compiled, backend)


def judged(found, backend, compiled=False):
    built = problem(found, backend, compiled)
    (one, *_) = found.cases("own.py")
    return gate.examine(one, built, backend)


def written(tmp_path, text, name="own.py"):
    file = tmp_path / name
    file.write_text("import bench\nimport numpy as np\n\n" + textwrap.dedent(text))
    return file


def test_a_function_stays_as_it_was():
    x = np.random.default_rng(1).standard_normal((3, 4))
    np.testing.assert_allclose(own_functions.softmax(x).sum(axis=-1), 1.0)


@pytest.mark.parametrize("name", ["softmax", "pairwise_distance", "kmeans_step"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_function_of_the_standard_agrees_on_every_backend(name, compiled, backend):
    found = getattr(getattr(own_functions, name), functions.ATTRIBUTE)
    for values in found.variants.values():
        built = functions.build(found, values, compiled, backend)
        (one, *_) = found.cases("own.py")
        assert gate.examine(one, built, backend) < 1e-4


def test_complex_numbers_and_empty_arrays_are_judged_too(numpy):
    x = np.random.default_rng(0).standard_normal(64).astype("float32")
    assert judged(declared(lambda x: np.fft.rfft(x), lambda: x), numpy) < 1e-5
    with pytest.raises(gate.MismatchError, match="array 0 differs from the float64 oracle"):
        judged(declared(lambda x: np.fft.rfft(x), lambda: x, oracle=lambda x: np.conj(np.fft.rfft(x))), numpy)
    assert judged(declared(lambda x: x * 2, lambda: np.empty((0, 3), "float32")), numpy) == 0.0


def test_a_function_that_returns_nothing_is_told_so(numpy):
    with pytest.raises(gate.MismatchError, match="it returns no array"):
        judged(declared(lambda x: (), oracle=lambda x: ()), numpy)


def test_every_combination_of_the_axes_is_a_variant():
    def f(x): ...

    found = declared(f, axes={"n": [1, 2], "dtype": ["float32", "float64"], "mode": ["a", "b"]})
    assert len(found.variants) == 8
    assert len({case.id for case in found.cases("own.py")}) == 16
    assert ("n=2,mode=a", "float64") in found.variants
    assert {(case.network, case.dtype, case.implementation) for case in found.cases("own.py")} == {
        (variant, dtype, form) for variant, dtype in found.variants for form in ("eager", "compiled")
    }


def test_the_values_of_a_label_are_read_back():
    axes = {"n": [4096], "alpha": [0.5], "shape": [(3, 4)], "mode": ["a=b"], "dtype": ["float64"]}

    def f(x): ...

    ((label, _),) = declared(f, axes=axes).variants
    assert functions.axis_texts(label) == {"n": "4096", "alpha": "0.5", "shape": "(3, 4)", "mode": "a=b"}
    assert functions.axis_values(label) == {"n": 4096, "alpha": 0.5, "shape": "(3, 4)", "mode": "a=b"}
    assert isinstance(functions.axis_values(label)["n"], int)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), True, None])
def test_what_has_no_place_on_an_axis_is_no_number(value):
    assert functions.axis_values(f"n={value}") == {"n": str(value)}


@pytest.mark.parametrize("label", ["-", "square-256", "coffee-2-3-1"])
def test_a_label_without_an_axis_has_no_values(label):
    assert functions.axis_texts(label) == {}
    assert declared(lambda x: x).values(label, "float32") == ({"dtype": "float32"} if label == "-" else None)


def test_a_value_may_look_like_an_axis_that_there_is_not():
    found = declared(lambda x: x, axes={"mode": ["a", "a,k=3"], "n": [2]})
    assert found.values("mode=a,k=3,n=5", "float32") == {"dtype": "float32", "mode": "a,k=3", "n": 5}
    assert found.values("n=5,mode=a", "float32") is None
    assert found.values("mode=a", "float32") is None


def test_values_go_where_a_parameter_has_their_name(backend):
    def f(x, *, k, xp):
        return xp.sum(x) + k

    found = declared(
        f,
        inputs=lambda n: np.ones(n),
        axes={"n": [5], "k": [3]},
        oracle=lambda x, *, k: x.sum() + k,
        flops=lambda n, k: n * k,
        bytes=40,
    )
    assert judged(found, backend) == 0
    assert (problem(found, backend).flops, problem(found, backend).bytes) == (15, 40)


def test_plain_values_and_tuples_of_arrays_reach_the_function_as_they_are(backend):
    def f(pair, axis, *, xp):
        return {"sum": xp.sum(pair[0], axis=axis), "whole": [pair[1]]}

    found = declared(f, inputs=lambda: ((np.ones((2, 3)), np.arange(4)), 1))
    assert judged(found, backend, compiled=True) == 0


def test_floating_inputs_are_cast_and_others_are_not(numpy):
    def f(x, i): ...

    def g(x): ...

    (x, i) = problem(declared(f, lambda: (np.ones(3), np.arange(3)), axes={"dtype": ["float64"]}), numpy).inputs
    assert (x.dtype, i.dtype) == (np.float64, np.arange(3).dtype)
    assert problem(declared(g, lambda: np.ones(3)), numpy).inputs[0].dtype == np.float32


def test_a_dtype_that_no_case_can_have_is_one_sentence():
    with pytest.raises(ArraybenchError, match="<lambda> has no dtype int8; give of float64, float32, bfloat16"):
        declared(lambda x: x, axes={"dtype": ["int8"]}).cases("own.py")


def test_inputs_can_be_in_bfloat16(backend):
    pytest.importorskip("ml_dtypes")
    found = declared(lambda x: x + x, lambda: np.ones(3), axes={"dtype": ["bfloat16"]})
    if "bfloat16" in backend.dtypes:
        assert judged(found, backend, compiled=True) == 0


def test_a_wrong_function_is_refused(backend):
    found = declared(lambda x: 1.001 * x, oracle=lambda x: x)
    with pytest.raises(gate.MismatchError, match="differs from the float64 oracle by"):
        judged(found, backend)


def test_a_tolerance_of_the_users_counts(backend):
    assert judged(declared(lambda x: 1.001 * x, oracle=lambda x: x, tolerance=0.01), backend) > 1e-4


def test_a_number_of_python_is_no_result(backend):
    def total(x):
        return float(x)

    with pytest.raises(ArraybenchError, match=f"total returned a builtins.float, which is no array of {backend.name}"):
        judged(declared(total, lambda: np.ones(())), backend)


def test_a_function_that_leaves_its_library_is_refused(backend):
    def leaves(x):
        return np.asarray(backends.get(backend.spec).to_numpy(x))

    if backend.name == "numpy":
        assert judged(declared(leaves, oracle=lambda x: x), backend) == 0
    else:
        with pytest.raises(
            ArraybenchError, match=f"leaves returned a numpy.ndarray, which is no array of {backend.name}"
        ):
            judged(declared(leaves, oracle=lambda x: x), backend)


def test_inputs_without_an_array_are_refused(numpy):
    with pytest.raises(ArraybenchError, match="have no array in them"):
        problem(declared(lambda n: n, lambda: 3), numpy)


def test_an_axis_that_is_no_list_is_refused():
    with pytest.raises(ArraybenchError, match=r"the axis n of .* is 'abc'; give it a list of values"):
        declared(lambda x: x, axes={"n": "abc"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1", "declares no case; put @bench.case"),
        ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
        ("@bench.case(lambda: np.ones(3), axes={'n': 3})\ndef f(x): ...", "the axis n of f is 3"),
    ],
)
def test_a_file_without_a_case_is_one_sentence(text, sentence, tmp_path, capsys):
    file = written(tmp_path, text)
    assert main(["run", str(file), "--results", str(tmp_path / "results")]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["missing.py", "own.txt"])
def test_what_is_no_file_of_python_is_one_sentence(name, tmp_path, capsys):
    (tmp_path / "own.txt").write_text("")
    assert main(["run", str(tmp_path / name), "--results", str(tmp_path)]) == 2
    assert "is no file of Python" in capsys.readouterr().err


FILE = """
    @bench.case(lambda n: np.ones((n, n)), axes={"n": [8, 16]}, flops=lambda n: 2 * n**3)
    def square(x):
        return x @ x

    @bench.case(lambda: np.ones(8), oracle=lambda x: x + 1)
    def wrong(x):
        return x

    @bench.case(lambda: np.ones(8))
    def untraceable(x):
        return x if float(x[0]) > 0 else -x
"""


@pytest.mark.usefixtures("_no_roof")
def test_a_file_is_run_like_a_suite(tmp_path):
    file = written(tmp_path, FILE)
    arguments = ["run", str(file), "--time", "0", "--backends", "numpy,jax", "--name", "own"]
    assert main([*arguments, "--results", str(tmp_path)]) == 1  # as a case mismatched
    frame = read_results(tmp_path / "own")
    square = frame[frame["workload"] == "square"]
    assert set(square["network"]) == {"n=8", "n=16"}
    measured = square[square["status"] == "ok"]
    assert set(measured["implementation"]) == {"eager", "compiled", CONTROL}
    assert (measured["gflop_per_s"] > 0).all()
    assert measured["speedup"].notna().all()
    wrong = frame[(frame["workload"] == "wrong") & (frame["status"] != "unavailable")]
    assert set(wrong["status"]) == {"mismatch"}
    assert wrong["speedup"].isna().all()
    untraceable = frame[frame["workload"] == "untraceable"].set_index(["backend", "implementation"])
    assert untraceable["status"]["jax", "eager"] == "ok"
    assert untraceable["status"]["jax", "compiled"] == "failed"
    assert "Concretization" in untraceable["reason"]["jax", "compiled"]


@pytest.mark.parametrize("name", ["jax", "backends", "numpy"])
def test_a_file_may_have_the_name_of_a_module(name, tmp_path, numpy):
    file = written(tmp_path, FILE).rename(tmp_path / f"{name}.py")
    before = sys.modules.get(name)
    (one, *_) = functions.cases(file)
    assert prepare(one, numpy, 1.0).facts["checked"]
    assert sys.modules.get(name) is before


def prepared(numpy, tmp_path, text):
    """Return what comes of the eager case of a file: the facts of its row, or why it has no figure."""
    functions.load.cache_clear()
    (one, *_) = functions.cases(written(tmp_path, text))
    try:
        return prepare(one, numpy, 1.0).facts
    except UnmeasuredError as error:
        return str(error)


CHANGES = [
    "@bench.case(lambda: np.arange(12), oracle=lambda x: x + 1)\ndef f(x):\n    x *= 0\n    return x + 1",
    "@bench.case(lambda: np.array([3.0, 1.0]), oracle=np.sort)\ndef f(x):\n    x.sort()\n    return x",
    "@bench.case(lambda: np.array([3, 1]), oracle=np.sort)\ndef f(x):\n    x.sort()\n    return x",
]


@pytest.mark.parametrize("text", CHANGES)
def test_a_function_that_changes_its_arguments_has_no_speed(text, tmp_path, numpy):
    found = prepared(numpy, tmp_path, text)
    assert "it changes its arguments" in found or "differs from the float64 oracle" in found


def test_dicts_are_compared_by_their_keys(tmp_path, numpy):
    text = "@bench.case(lambda: np.ones(3), oracle=lambda x: {'a': x, 'b': 2 * x})\ndef f(x): return "
    assert prepared(numpy, tmp_path, text + "{'b': 2 * x, 'a': x}")["checked"]
    assert "array 0 differs" in prepared(numpy, tmp_path, text + "{'b': x, 'a': 2 * x}")
    told = prepared(numpy, tmp_path, text + "{'a': x, 'c': 2 * x}")
    assert told == "it returns {a: an array, c: an array}, and its oracle {a: an array, b: an array}"


def test_a_tolerance_of_nothing_allows_nothing(tmp_path, numpy):
    text = "@bench.case(lambda: np.ones(3), tolerance=0, oracle=lambda x: x)\ndef f(x): return x + 1e-5"
    assert "at most 0 is allowed" in prepared(numpy, tmp_path, text)


def test_whose_oracle_or_inputs_fail_is_told(tmp_path, numpy):
    for what, text in {
        "oracle": "@bench.case(lambda: np.ones(3), oracle=lambda x: 1 / 0)\ndef f(x): return x",
        "inputs": "@bench.case(lambda: 1 / 0)\ndef f(x): return x",
    }.items():
        with pytest.raises(ArraybenchError, match=f"the {what} of f failed: ZeroDivisionError: division by zero"):
            prepared(numpy, tmp_path, text)


REFUSED = [
    ("raise SystemExit(0)", "cannot be imported: SystemExit"),
    ("raise ValueError('first\\nsecond')", r"cannot be imported: ValueError: first$"),
    (
        "def make(n):\n    @bench.case(lambda: np.ones(n))\n    def f(x): return x\n    return f\na, b = make(1), make(2)",
        "declares two functions called f; give each a __name__ of its own",
    ),
    ("@bench.case(lambda: np.ones(1))\n@bench.case(lambda: np.ones(2))\ndef f(x): return x", "f is declared twice"),
    (
        "@bench.case(lambda: np.ones(1), axes={'dtype': ['tf32']})\ndef f(x): return x",
        "f has no dtype tf32; give of float64, float32, bfloat16",
    ),
    (
        "@bench.case(lambda: np.ones(1), tolerance=-1)\ndef f(x): return x",
        "the tolerance of f is -1; give a number of 0 or more",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_a_file_that_cannot_be_measured_as_it_is_written_is_one_sentence(text, sentence, tmp_path):
    functions.load.cache_clear()
    with pytest.raises(ArraybenchError, match=sentence):
        functions.load(written(tmp_path, text))


def test_what_a_file_prints_is_not_what_a_command_prints(tmp_path, capsys):
    functions.load.cache_clear()
    functions.load(written(tmp_path, "print('hello')\n@bench.case(lambda: np.ones(1))\ndef f(x): return x"))
    assert capsys.readouterr() == ("", "hello\n")


def test_a_case_that_its_file_does_not_declare_any_more_says_so(tmp_path, numpy):
    file = written(tmp_path, FILE)
    (one, *_) = functions.cases(file)
    functions.load.cache_clear()
    written(tmp_path, "@bench.case(lambda: np.ones(3))\ndef other(x): return x")
    with pytest.raises(ArraybenchError, match="has no case square/n=8/eager any more"):
        prepare(one, numpy, 1.0)


def test_an_unmeasurable_case_is_no_error_of_python(numpy):
    (_, compiled) = declared(lambda x: x).cases(str(own_functions.__file__))
    with pytest.raises(UnmeasuredError, match="has no compiler"):
        prepare(compiled, numpy, 1.0)


@pytest.mark.usefixtures("_no_roof")
def test_a_folder_with_a_core_of_another_kind_is_no_hindrance(tmp_path, monkeypatch):
    for name in ("core", "bench", "backends"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not yours')")
    monkeypatch.chdir(tmp_path)
    arguments = ["--backends", "numpy", "--only", "square/n=8/*", "--time", "0", "--name", "own"]
    assert main(["run", str(written(tmp_path, FILE)), *arguments, "--results", str(tmp_path)]) == 0
    assert (read_results(tmp_path / "own")["status"] == "ok").any()


@pytest.mark.usefixtures("_no_roof")
def test_a_run_of_a_file_is_resumed(tmp_path, monkeypatch, capsys):
    file = written(tmp_path, FILE)
    record = Journal.record

    def interrupted(journal, unit):
        record(journal, unit)
        raise KeyboardInterrupt

    options = ["--results", str(tmp_path)]
    monkeypatch.setattr(Journal, "record", interrupted)
    asked = ["--backends", "numpy", "--only", "square/*/eager", "--time", "0", "--name", "own"]
    assert main(["run", str(file), *asked, *options]) == 130
    monkeypatch.setattr(Journal, "record", record)
    other = written(tmp_path, FILE, "other.py")
    assert main(["run", str(other), "--resume", "own", *options]) == 2
    assert "other.py is not what" in capsys.readouterr().err
    assert main(["run", str(file), "--resume", "own", *options]) == 0
    assert set(read_results(tmp_path / "own")["network"]) == {"n=8", "n=16"}


def test_a_size_that_is_not_listed_is_a_case_of_an_axis_of_whole_numbers(tmp_path, numpy):
    found = declared(
        lambda x: x, lambda n, mode: np.ones((n, 3)), axes={"n": [8, 16], "mode": ["a,b", "c"], "flag": [True, False]}
    )
    assert found.values("n=11,mode=a,b,flag=False", "float32") == {
        "dtype": "float32",
        "n": 11,
        "mode": "a,b",
        "flag": False,
    }
    for label in (
        "n=0,mode=c,flag=True",
        "n=-3,mode=c,flag=True",
        "n=1.5,mode=c,flag=True",
        "n=8,mode=d,flag=True",
        "n=8,mode=c,flag=1",
        "-",
    ):
        assert found.values(label, "float32") is None
    assert found.values("n=8,mode=c,flag=True", "float64") is None
    assert all(found.values(label, dtype) == values for (label, dtype), values in found.variants.items())

    (one, *_) = functions.cases(written(tmp_path, FILE))
    assert functions.problem(replace(one, network="n=11"), numpy).inputs[0].shape == (11, 11)


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"depth": "3"}, "f has no axis depth; it has n, dtype"),
        ({"dtype": "int8"}, r"f has no case with dtype=int8; its axes are n \(8, 16\), dtype \(float64\)"),
        ({"n": "0"}, "f has no case with n=0"),
    ],
)
def test_a_value_that_an_axis_does_not_have_is_one_sentence(chosen, sentence):
    def f(x): ...

    found = declared(f, axes={"n": [8, 16], "dtype": ["float64"]})
    assert (found.case("own.py", {}).network, found.case("own.py", {"n": "9"}).dtype) == ("n=8", "float64")
    with pytest.raises(ArraybenchError, match=sentence):
        found.case("own.py", chosen)
