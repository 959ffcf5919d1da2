"""The doctor: what it concludes from planted facts, and the command as a person runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli import main
from bench.doctor import blas as blas_findings
from bench.doctor import diagnosis, examination, probe
from bench.doctor import gpu as gpu_findings
from bench.doctor.command import as_json, exit_status, show
from bench.doctor.examination import Facts, Trial
from bench.doctor.remedies import Remedy, kernel_remedies, thread_remedies, usable_cpus

UNSET = Remedy("kernel", unsets=("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"))
SKYLAKE = Remedy("kernel", exports=(("OPENBLAS_CORETYPE", "SkylakeX"),))
ONE_THREAD = Remedy("threads", exports=(("OPENBLAS_NUM_THREADS", "1"),))
FORCED = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "512"}
QUIET = (1.0, 1.002, 0.999, 1.001, 0.998, 1.0)
LOUD = (1.0, 2.1, 0.6, 1.5, 0.5, 1.2)
REVERSED = LOUD[::-1]
GPU = "NVIDIA H100, 81559 MiB, 580.1"


def blas(kernel="Haswell", threads=2):
    return {"library": "openblas", "version": "0.3.31", "kernel": kernel, "threads": threads}


def trial(remedy=None, faster=1.0, *, spread=QUIET, small=None, **state):
    """Return a trial whose large product is so many times faster than 10 ms, and the small than 100 µs."""
    rounds = [
        {
            "large_best_s": 0.01 / faster * disturbed,
            "large_median_s": 0.01 / faster * disturbed,
            "small_best_s": 1e-4 / (small or faster),
            "one_thread_best_s": 0.02 / faster,
        }
        for disturbed in spread
    ]
    return Trial(remedy, blas(**state), rounds)


def planted(current=None, *others, again=None, machine=None, load=None, **changes):
    """Return the facts of a quiet machine of two CPUs where nothing is wrong, less what is planted."""
    current = current or trial()
    quiet = {"others_cpus": 0.0, "steal_share": 0.0, "periods": None, "throttled": None}
    plain = {"cores": 2, "cpus_online": 2, "physical_cores": 2, "cpu_quota": None, "governor": None, "boost": None}
    plain |= {"container": False, "gpus": [], "gpu_state": None, "load_average": [0.0, 0.0, 0.0]}
    plain |= {"cpu": "Planted CPU", "system": "Linux", "python": "CPython 3.11"}
    backends = {spec: answer() for spec in ("numpy:cpu", "jax:cpu")}
    return Facts(
        **{
            "machine": plain | (machine or {}),
            "current": current,
            "again": again or trial(spread=[d * 1.0005 for d in QUIET[::-1]]),
            "others": list(others),
            "failures": {},
            "backends": backends,
            "statuses": [status("numpy", "cpu"), status("jax", "cpu")],
            "distributions": {},
            "driver": {"pci": [], "device_files": [], "nvidia_smi": [], "libcuda": "not found", "cuda_result": None},
            "jax_on_cuda": None,
            "load": quiet | (load or {}),
            "allowed_cpus": [0, 1],
            "variables": {},
            "python": "/v/bin/python",
        }
        | changes
    )


def answer(precision="float32", threads=2.0, dtype="float32"):
    return {"gflop_per_s": 100.0, "threads_in_effect": threads, "matmul_precision": precision, "dtype": dtype}


def status(name, *devices, reason=None):
    return {"name": name, "usable": not reason, "devices": list(devices), "timed": True, "reason": reason}


def test_a_machine_where_nothing_is_wrong_is_told_so():
    findings = diagnosis.diagnose(planted())
    assert {finding.severity for finding in findings} == {"ok"}
    assert exit_status(findings) == 0
    assert {finding.line for finding in findings} == {None}


# Kernels


def test_forced_kernels_that_are_half_as_fast_are_wrong_with_the_ratio_and_the_line():
    facts = planted(trial(), trial(UNSET, 1.9, kernel="SkylakeX"), variables=FORCED)
    finding = blas_findings.kernel(facts)
    assert (finding.severity, finding.line) == ("wrong", "unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE")
    assert finding.gain.low < 1.9 + 1e-9
    assert finding.gain.high > 1.9 - 1e-9
    assert "forced by OPENBLAS_CORETYPE=Haswell and OPENBLAS_L2_SIZE=512" in finding.sentence
    assert "With SkylakeX it is 1.90 times as fast" in finding.sentence
    assert exit_status(diagnosis.diagnose(facts)) == 1


def test_kernels_that_openblas_chose_itself_are_replaced_by_name():
    finding = blas_findings.kernel(planted(trial(), trial(SKYLAKE, 1.9, kernel="SkylakeX")))
    assert (finding.severity, finding.line) == ("wrong", "export OPENBLAS_CORETYPE=SkylakeX")
    assert "forced" not in finding.sentence


def test_of_two_remedies_as_good_the_first_is_named():
    facts = planted(trial(), trial(UNSET, 1.88, kernel="SkylakeX"), trial(SKYLAKE, 1.9, kernel="Cooperlake"))
    assert blas_findings.kernel(facts).line == UNSET.line
    facts = planted(trial(), trial(UNSET, 1.5, kernel="SkylakeX"), trial(SKYLAKE, 1.9, kernel="Cooperlake"))
    assert blas_findings.kernel(facts).line == SKYLAKE.line


def test_on_a_noisy_machine_the_small_product_decides():
    noisy = trial(UNSET, 1.5, spread=REVERSED, kernel="SkylakeX", small=1.9)
    finding = blas_findings.kernel(planted(trial(spread=LOUD), noisy))
    assert finding.severity == "wrong"
    assert finding.gain.low == pytest.approx(1.9)
    assert "a small product on one thread" in finding.sentence
    clear = trial(UNSET, 1.5, kernel="SkylakeX", small=1.9)
    assert blas_findings.kernel(planted(trial(), clear)).gain.value == pytest.approx(1.5)
    assert blas_findings.kernel(planted(trial(), clear, load={"others_cpus": 1.2})).gain.value == pytest.approx(1.9)


def test_where_noise_hides_the_large_product_the_best_kernel_is_that_of_the_small_one():
    lucky = trial(UNSET, 1.6, spread=REVERSED, kernel="Nehalem", small=0.5)
    good = trial(SKYLAKE, 1.3, spread=REVERSED, kernel="SkylakeX", small=1.9)
    assert blas_findings.kernel(planted(trial(spread=LOUD), lucky, good)).line == SKYLAKE.line


def test_a_gain_that_noise_hides_is_noted_not_wrong():
    finding = blas_findings.kernel(planted(trial(spread=LOUD), trial(UNSET, 1.3, spread=REVERSED, small=1.0)))
    assert (finding.severity, finding.line) == ("note", UNSET.line)
    assert "lost in this machine's noise" in finding.sentence


@pytest.mark.parametrize("faster", [0.5, 1.0, 1.04])
def test_other_kernels_that_gain_nothing_clear_are_no_reason_to_type(faster):
    finding = blas_findings.kernel(planted(trial(kernel="SkylakeX"), trial(SKYLAKE, faster, kernel="Haswell")))
    assert (finding.severity, finding.line, finding.gain) == ("ok", None, None)
    assert finding.evidence["tried"][0]["gain"].value == pytest.approx(faster)


def test_a_blas_with_nothing_to_choose_is_plain():
    accelerate = Trial(
        None, {"library": "accelerate", "version": None, "kernel": None, "threads": None}, trial().rounds
    )
    facts = planted(accelerate)
    assert blas_findings.kernel(facts).severity == "ok"
    assert blas_findings.threads(facts) is None


def test_a_numpy_that_cannot_multiply_is_wrong():
    dead = Trial(None, {"library": None, "version": None, "kernel": None, "threads": None}, [None, None])
    facts = planted(
        dead, again=dead, failures={"": "ImportError: libblas.so.3"}, backends={"numpy:cpu": {"error": "x"}}
    )
    assert "libblas.so.3" in blas_findings.kernel(facts).sentence
    assert exit_status(diagnosis.diagnose(facts)) == 1


def test_a_round_whose_process_died_is_left_out():
    lame = trial(UNSET, 1.9, kernel="SkylakeX")
    lame.rounds[2] = None
    assert blas_findings.kernel(planted(trial(), lame)).severity == "wrong"


# Threads and CPUs


def two(count):
    return Remedy("threads", exports=(("OPENBLAS_NUM_THREADS", str(count)),))


def test_too_few_threads_are_wrong_when_more_are_faster():
    finding = blas_findings.threads(planted(trial(threads=1), trial(two(2), 1.8, threads=2)))
    assert (finding.severity, finding.line) == ("wrong", "export OPENBLAS_NUM_THREADS=2")
    assert "computes on 1 thread, and this process may use 2 CPUs; on 2 it is 1.80 times as fast" in finding.sentence


def test_too_many_threads_are_wrong_when_fewer_are_faster():
    facts = planted(trial(threads=64), trial(two(2), 3.0, threads=2), machine={"cores": 64, "cpu_quota": 1.5})
    finding = blas_findings.threads(facts)
    assert (finding.severity, finding.line) == ("wrong", "export OPENBLAS_NUM_THREADS=2")


def test_a_thread_for_each_hyperthread_is_wrong_when_one_a_core_is_faster():
    facts = planted(trial(threads=4), trial(two(2), 1.3, threads=2), machine={"cores": 4, "physical_cores": 2})
    assert blas_findings.threads(facts).severity == "wrong"


def test_more_threads_than_cpus_without_a_loss_are_noted():
    finding = blas_findings.threads(planted(trial(threads=4), trial(two(2), 1.0, threads=2)))
    assert (finding.severity, finding.line) == ("note", "export OPENBLAS_NUM_THREADS=2")


def test_one_thread_that_wins_only_because_others_compute_is_not_advised():
    facts = planted(trial(), trial(ONE_THREAD, 1.9, threads=1), load={"others_cpus": 1.2})
    finding = blas_findings.threads(facts)
    assert (finding.severity, finding.line) == ("note", None)
    assert "while other programs use 1.2 CPUs" in finding.sentence


def test_as_many_threads_as_cpus_are_compared_with_one():
    finding = blas_findings.threads(planted())
    assert finding.severity == "ok"
    assert finding.evidence["gain_over_one_thread"].value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("machine", "load", "severity", "line"),
    [
        ({}, {}, "ok", None),
        ({"cpus_online": 8}, {}, "note", None),
        ({"cpu_quota": 1.0}, {}, "note", "taskset -c 0 arraybench run"),
        ({"cpu_quota": 1.0}, {"periods": 300, "throttled": 60}, "wrong", "taskset -c 0 arraybench run"),
        ({"cpu_quota": 2.0}, {"periods": 300, "throttled": 3}, "ok", None),
    ],
)
def test_mask_and_quota_are_judged_by_what_they_stop(machine, load, severity, line):
    finding = diagnosis.cpus(planted(machine=machine, load=load))
    assert (finding.severity, finding.line) == (severity, line)


@pytest.mark.parametrize(
    ("numpy", "jax", "others", "severity", "line"),
    [
        (2.0, 1.9, 0.0, "ok", None),
        (1.0, 2.0, 0.0, "note", "export OPENBLAS_NUM_THREADS=2"),
        (2.0, 1.0, 0.0, "note", "taskset -c 0 arraybench run"),
        (1.0, 2.0, 1.0, "note", None),
    ],
)
def test_backends_on_unequal_threads_are_noted(numpy, jax, others, severity, line):
    backends = {"numpy:cpu": answer(threads=numpy), "jax:cpu": answer(threads=jax), "cupy:gpu:0": answer(threads=0.1)}
    finding = diagnosis.agreement(planted(backends=backends, load={"others_cpus": others}))
    assert (finding.severity, finding.line) == (severity, line)


# Precision


@pytest.mark.parametrize(
    ("precisions", "variables", "line"),
    [
        ({"jax:gpu:0": "tf32"}, {"JAX_DEFAULT_MATMUL_PRECISION": "x"}, "unset JAX_DEFAULT_MATMUL_PRECISION"),
        ({"jax:gpu:0": "bfloat16"}, {}, "export JAX_DEFAULT_MATMUL_PRECISION=highest"),
        ({"cupy:gpu:0": "tf32"}, {"CUPY_TF32": "1"}, "unset CUPY_TF32"),
        ({"torch:gpu:0": "tf32"}, {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}, "unset TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
        ({"cupy:gpu:0": "tf32", "jax:gpu:0": "float32"}, {}, "export NVIDIA_TF32_OVERRIDE=0"),
        ({"mylib:gpu:0": "tf32"}, {"CUPY_TF32": "1"}, "export NVIDIA_TF32_OVERRIDE=0"),
    ],
)
def test_tf32_on_one_side_only_is_wrong(precisions, variables, line):
    backends = {"numpy:cpu": answer()} | {spec: answer(name) for spec, name in precisions.items()}
    finding = diagnosis.precision(planted(backends=backends, variables=variables))
    assert (finding.severity, finding.line) == ("wrong", line)
    assert "numpy:cpu float32" in finding.sentence


def test_a_float32_product_in_another_dtype_is_wrong():
    facts = planted(backends={"numpy:cpu": answer(), "mylib:cpu": answer(dtype="float64")})
    assert diagnosis.precision(facts).severity == "wrong"


def test_a_backend_whose_product_fails_is_wrong_and_compared_with_none():
    facts = planted(backends={"numpy:cpu": answer(), "jax:cpu": {"error": "RuntimeError: no BLAS"}})
    assert diagnosis.precision(facts).severity == "ok"
    finding = diagnosis.backends(facts)
    assert finding.severity == "wrong"
    assert "Not jax:cpu: RuntimeError: no BLAS." in finding.sentence


@pytest.mark.parametrize(("reason", "severity"), [("jax is not installed", "ok"), ("jax cannot be loaded: x", "wrong")])
def test_what_is_not_installed_is_plain_and_what_is_broken_is_wrong(reason, severity):
    facts = planted(statuses=[status("numpy", "cpu"), status("jax", reason=reason)], backends={"numpy:cpu": answer()})
    assert diagnosis.backends(facts).severity == severity


# Noise


@pytest.mark.parametrize(
    ("spread", "load", "severity", "line"),
    [
        (QUIET, {}, "ok", None),
        ((1.0, 1.03, 0.98, 1.04, 0.97, 1.01), {}, "note", None),
        (LOUD, {}, "wrong", "arraybench run --time 600"),
        (LOUD, {"others_cpus": 1.2}, "wrong", "ps -eo pcpu,pid,args --sort=-pcpu | head"),
        (QUIET, {"others_cpus": 1.2}, "note", "ps -eo pcpu,pid,args --sort=-pcpu | head"),
        (QUIET, {"steal_share": 0.2}, "note", None),
    ],
)
def test_noise_is_judged_by_the_smallest_visible_effect(spread, load, severity, line):
    finding = diagnosis.noise(planted(again=trial(spread=spread), load=load))
    assert (finding.severity, finding.line) == (severity, line)
    assert finding.evidence["smallest_effect"] > 0


def test_a_single_pair_cannot_tell_the_noise():
    finding = diagnosis.noise(planted(trial(spread=[1.0]), again=trial(spread=[1.1])))
    assert finding.severity == "note"


def test_a_slow_governor_is_noted():
    assert diagnosis.governor(planted()) is None
    assert diagnosis.governor(planted(machine={"governor": "performance"})).severity == "ok"
    assert diagnosis.governor(planted(machine={"governor": "powersave"})).severity == "note"


# GPUs

WORKING = {
    "pci": ["0000:01:00.0"], "device_files": ["/dev/nvidia0"], "nvidia_smi": ["GPU 0: NVIDIA H100"], "libcuda": "loaded",
    "cuda_result": 0, "cuda_error": None, "cuda_version": 13000,
}  # fmt: skip


def gpu(statuses=(), driver=WORKING, machine=None, **changes):
    facts = planted(statuses=list(statuses), driver=driver, machine={"gpus": [GPU]} | (machine or {}), **changes)
    return {finding.name: finding for finding in gpu_findings.diagnose(facts)}


def test_no_gpu_at_all_is_a_plain_fact():
    (finding,) = gpu_findings.diagnose(planted())
    assert (finding.severity, finding.sentence) == ("ok", "There is no NVIDIA GPU here.")


def test_a_gpu_that_all_reach_is_fine():
    found = gpu([status("cupy", "gpu:0"), status("jax", "gpu:0", "cpu")])
    assert [finding.severity for finding in found.values()] == ["ok", "ok", "ok"]
    assert f"for CUDA 13.0: {GPU}" in found["gpu"].sentence


@pytest.mark.parametrize(
    ("driver", "variables", "container", "words", "line"),
    [
        ({"cuda_result": 803, "cuda_error": "unsupported combination"}, {}, False, "unsupported combination (cuInit 803)",
         "sudo reboot"),
        ({"cuda_result": 77, "cuda_error": None}, {}, False, "no message (cuInit 77)", None),
        ({"cuda_result": None, "libcuda": "libcuda.so.1: cannot open"}, {}, True, "cannot open", "docker run --gpus all"),
        ({"cuda_result": 100, "cuda_error": "no device"}, {"CUDA_VISIBLE_DEVICES": ""}, False, "hides the GPUs",
         "unset CUDA_VISIBLE_DEVICES"),
        ({"cuda_result": 100, "cuda_error": "no device"}, {}, False, "no device (cuInit 100)", "nvidia-smi -L"),
    ],
)  # fmt: skip
def test_a_driver_that_does_not_start_is_wrong_in_its_own_words(driver, variables, container, words, line):
    found = gpu(driver=WORKING | driver, variables=variables, machine={"container": container})
    assert list(found) == ["gpu"]
    assert (found["gpu"].severity, found["gpu"].line) == ("wrong", line)
    assert words in found["gpu"].sentence


def test_a_driver_that_hangs_is_wrong():
    (finding,) = gpu_findings.diagnose(planted(driver={"error": "no answer in 60 s"}))
    assert finding.severity == "wrong"


@pytest.mark.parametrize(
    ("installed", "variables", "version", "severity", "words", "line"),
    [
        ({}, {}, 13000, "note", "not installed", "/v/bin/python -m pip install --upgrade 'jax[cuda13]'"),
        ({"jax": "0.10"}, {}, 12040, "wrong", "plugin for CUDA 12 is not installed",
         "/v/bin/python -m pip install --upgrade 'jax[cuda12]'"),
        ({"jax": "0.10", "jax-cuda13-plugin": "0.10"}, {"JAX_PLATFORMS": "cpu"}, 13000, "wrong", "JAX_PLATFORMS=cpu",
         "unset JAX_PLATFORMS"),
        ({"jax": "0.10", "jax-cuda13-plugin": "0.10"}, {}, 13000, "wrong", "its own words",
         "/v/bin/python -m pip install --upgrade 'jax[cuda13]'"),
    ],
)  # fmt: skip
def test_a_jax_on_the_cpu_beside_a_gpu_is_told_why(installed, variables, version, severity, words, line):
    found = gpu(
        [status("jax", "cpu")], WORKING | {"cuda_version": version}, distributions=installed, variables=variables,
        jax_on_cuda="its own words",
    )  # fmt: skip
    assert (found["jax"].severity, found["jax"].line) == (severity, line)
    assert words in found["jax"].sentence


@pytest.mark.parametrize(
    ("installed", "severity", "line"),
    [
        ({}, "note", "/v/bin/python -m pip install --upgrade 'cupy-cuda12x[ctk]'"),
        ({"cupy-cuda12x": "13"}, "wrong", "/v/bin/python -m pip install --upgrade 'cupy-cuda12x[ctk]'"),
        ({"cupy-cuda13x": "14"}, "wrong", "/v/bin/python -m pip uninstall -y cupy-cuda13x; "
         "/v/bin/python -m pip install --upgrade 'cupy-cuda12x[ctk]'"),
    ],
)  # fmt: skip
def test_a_cupy_that_cannot_reach_the_gpu_is_told_what_to_install(installed, severity, line):
    reason = "cupy cannot use a GPU: cudaErrorInsufficientDriver"
    found = gpu([status("cupy", reason=reason)], WORKING | {"cuda_version": 12080}, distributions=installed)
    assert (found["cupy"].severity, found["cupy"].line) == (severity, line)
    assert severity == "note" or reason in found["cupy"].sentence


class PlantedDriver:
    """NVIDIA's driver library, as ctypes would load it."""

    def __init__(self, result, words):
        self.result, self.words = result, words

    def cuInit(self, flags):  # noqa: N802
        return self.result

    def cuDriverGetVersion(self, version):  # noqa: N802
        version._obj.value = 12080
        return 0

    def cuGetErrorString(self, result, message):  # noqa: N802
        message._obj.value = self.words
        return 0


@pytest.mark.parametrize(("result", "words", "told"), [(0, None, None), (803, b"unsupported", "unsupported")])
def test_the_driver_is_asked_for_its_own_number_and_words(monkeypatch, result, words, told):
    monkeypatch.setattr(probe.ctypes, "CDLL", lambda name: PlantedDriver(result, words))
    said = probe.driver()
    assert (said["libcuda"], said["cuda_version"]) == ("loaded", 12080)
    assert (said["cuda_result"], said["cuda_error"]) == (result, told)


def test_without_a_driver_the_loader_is_quoted(monkeypatch):
    monkeypatch.setattr(probe, "CUDA_LIBRARIES", ("libno_such_driver.so.1",))
    said = probe.driver()
    assert "libno_such_driver.so.1" in said["libcuda"]
    assert said["cuda_result"] is None


def test_a_card_is_found_on_its_bus_without_a_driver(monkeypatch, tmp_path):
    for address, vendor, kind in [
        ("a", "0x10de", "0x030200"),
        ("b", "0x10de", "0x040300"),
        ("c", "0x8086", "0x030000"),
    ]:
        card = tmp_path / "bus" / "pci" / "devices" / address
        card.mkdir(parents=True)
        (card / "vendor").write_text(f"{vendor}\n")
        (card / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(probe, "SYS", tmp_path)
    assert probe.driver()["pci"] == ["a"]


def test_a_gpu_that_others_use_is_noted():
    states = [{"utilization.gpu": "97"}, {"utilization.gpu": "0"}, {"utilization.gpu": None}]
    assert gpu(machine={"gpu_state": states})["gpu_load"].evidence == {"used": {"gpu:0": 97.0}}
    assert "gpu_load" not in gpu(machine={"gpu_state": states[1:]})


# What is tried, and what is measured


def test_what_is_forced_is_undone_first_and_then_every_kernel_that_the_processor_can_run_is_tried():
    lines = [remedy.line for remedy in kernel_remedies("openblas", FORCED, ["avx2", "avx512f"])]
    assert lines[:2] == [UNSET.line, SKYLAKE.line]
    assert "export OPENBLAS_CORETYPE=Haswell" not in lines
    assert [remedy.line for remedy in kernel_remedies("openblas", {}, ["avx2"])] == [
        "export OPENBLAS_CORETYPE=Zen",
        "export OPENBLAS_CORETYPE=Haswell",
    ]


def test_another_blas_is_only_freed_of_what_is_forced():
    assert [remedy.line for remedy in kernel_remedies("mkl", {"MKL_CBWR": "AVX2"}, ["avx512f"])] == ["unset MKL_CBWR"]
    assert kernel_remedies("accelerate", FORCED, ["asimd"]) == kernel_remedies(None, {}, ["avx2"]) == []


def test_threads_are_set_by_the_variable_of_the_library():
    assert [remedy.line for remedy in thread_remedies("mkl", 8, [4, 8, 4, 1])] == [
        "export MKL_NUM_THREADS=4",
        "export MKL_NUM_THREADS=1",
    ]
    assert thread_remedies(None, None, [2]) == []


def test_a_remedy_changes_what_its_line_says():
    assert UNSET.applied(FORCED | {"A": "b"}) == {"A": "b"}
    both = Remedy("kernel", exports=(("A", "a b"),), unsets=("OPENBLAS_CORETYPE",))
    assert both.line == "unset OPENBLAS_CORETYPE; export A='a b'"
    assert both.applied({"OPENBLAS_CORETYPE": "x"}) == {"A": "a b"}


@pytest.mark.parametrize(("quota", "usable"), [(None, 8), (0.5, 1), (1.5, 2), (100.0, 8)])
def test_a_quota_bounds_the_cpus(quota, usable):
    assert usable_cpus({"cores": 8, "cpu_quota": quota}) == usable


def test_a_fresh_process_answers_in_the_environment_that_it_was_given():
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    assert examination.ask(["blas"], environment)["blas"]["threads"] in (1, None)


def test_what_a_process_cannot_answer_is_an_error_in_words():
    assert examination.ask(["backend", "no_such"])["error"].startswith("BackendError: backend 'no_such'")
    assert "error" in examination.ask(["backend", "numpy"], {"PYTHONHOME": "/nowhere"})


def test_the_use_of_others_is_what_the_machine_did_and_the_doctor_did_not():
    second = os.sysconf("SC_CLK_TCK")
    ticks = second * (os.cpu_count() or 1)
    start = {"ticks": [0] * 8, "own_s": 0.0, "throttling": {"periods": 5, "throttled": 1}}
    end = {"ticks": [second, 0, 0, 10 * ticks - 2 * second, 0, 0, 0, second], "own_s": 0.4}
    load = examination._load(start, end | {"throttling": {"periods": 9, "throttled": 2}})
    assert load["others_cpus"] == pytest.approx(0.06)
    assert load["steal_share"] == pytest.approx(second / (10 * ticks))
    assert (load["periods"], load["throttled"]) == (4, 1)
    assert examination._load(start | {"ticks": None}, end | {"throttling": None})["others_cpus"] is None


# The command


def test_lines_to_type_are_printed_whole_however_narrow_the_screen():
    facts = planted(trial(), trial(UNSET, 1.9, kernel="SkylakeX"), variables=FORCED)
    console = Console(width=40, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    show(facts, diagnosis.diagnose(facts), console)
    printed = console.export_text()
    console.file.close()
    assert "$ unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE\n" in printed
    assert printed.endswith("Wrong here: blas_kernel.\n")


def test_json_has_no_number_that_json_does_not_have():
    facts = planted(trial(spread=[1.0]), again=trial(spread=[1.0]))
    written = json.loads(json.dumps(as_json(facts, diagnosis.diagnose(facts)), allow_nan=False))
    noise = next(finding for finding in written["findings"] if finding["name"] == "noise")
    assert noise["evidence"]["smallest_effect"] is None


def test_the_command_examines_this_machine_and_writes_json():
    command = [sys.executable, "-m", "bench", "doctor", "--json", "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == report["wrong"] == any(finding["severity"] == "wrong" for finding in report["findings"])
    for finding in report["findings"]:
        assert set(finding) == {"name", "severity", "sentence", "gain", "line", "evidence"}
    names = [finding["name"] for finding in report["findings"]]
    assert {"backends", "blas_kernel", "cpus", "matmul_precision", "noise", "gpu"} <= set(names)
    assert len(report["measured"]["current"]["rounds"]) == len(report["measured"]["again"]["rounds"]) == 2
    assert report["measured"]["current"]["rounds"][0]["large_best_s"] > 0
    assert report["machine"]["machine_id"].startswith("m-")


def test_the_screen_is_printed_by_the_same_command(monkeypatch, capsys):
    monkeypatch.setattr("bench.doctor.command.examine", lambda processes, tell: planted())
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "Planted CPU" in printed
    assert "Nothing is wrong here." in printed


@pytest.mark.parametrize("processes", ["1", "-3", "few"])
def test_too_few_processes_are_a_wrong_call(processes, capsys):
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--processes", processes])
    assert end.value.code == 2
    assert "is not a whole number of 2 or more" in capsys.readouterr().err


def test_the_line_to_type_names_this_python_from_the_current_folder_on(monkeypatch):
    executable = Path(sys.executable)
    monkeypatch.chdir(executable.parent)
    assert examination.own_python() == executable.name
    monkeypatch.chdir("/")
    assert examination.own_python() == str(executable.relative_to("/"))
    monkeypatch.setattr(sys, "executable", "elsewhere/python")
    assert examination.own_python() == "elsewhere/python"
