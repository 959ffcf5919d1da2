"""What is told of the machine, on machines that are planted as files."""

import json
import os

import pytest

from bench import machine

CPUINFO = "cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: Planted CPU\nflags\t\t: fpu sse4_2 avx2 avx512f hypervisor\n"


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """Return a function that writes files of /proc, /sys and / below a new root, which machine then reads."""

    def plant(files):
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "SYS", tmp_path / "sys")
    (tmp_path / "proc").mkdir()
    return plant


@pytest.fixture
def nvidia_smi(monkeypatch, tmp_path):
    """Return a function that puts a program of that name on the path, which prints what is planted."""

    def plant(source):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{source}\n")
        program.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return plant


def test_a_description_is_plain_json():
    facts = machine.describe()
    assert json.loads(json.dumps(facts))["cores"] == facts["cores"] >= 1
    assert facts["libraries"]["numpy"]


def test_what_cannot_be_found_is_none(planted):
    facts = machine.describe()
    absent = ("physical_cores", "smt", "instruction_sets", "virtual_machine", "governor", "boost", "cpu_quota")
    assert [facts[name] for name in (*absent, "cpu_throttling")] == [None] * 8


def test_the_machine_id_is_of_the_hardware_alone(planted, monkeypatch):
    planted({"proc/cpuinfo": CPUINFO})
    before = machine.describe()["machine_id"]
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 99.0, 99.0))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    planted({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.stat": "", "sys/fs/cgroup/cpu.max": "50000 100000\n"})
    facts = machine.describe()
    assert (facts["cpu_quota"], facts["machine_id"]) == (0.5, before)
    for other in (CPUINFO.replace("Planted", "Another"), CPUINFO.replace("\t: 1\n", "\t: 2\n")):
        planted({"proc/cpuinfo": other})
        assert machine.describe()["machine_id"] != before


def test_the_machine_id_does_not_change_with_the_driver(nvidia_smi):
    ids = []
    for driver in ("570.1", "580.2"):
        nvidia_smi(f"echo 'NVIDIA H100, 81559 MiB, {driver}'")
        gpus = machine._gpus()
        assert gpus == [f"NVIDIA H100, 81559 MiB, {driver}"]
        ids.append(machine._digest({"gpus": gpus}))
    assert ids[0] == ids[1]


def test_the_processor_is_told_from_its_files(planted):
    files = {"proc/cpuinfo": CPUINFO, "sys/devices/system/cpu/smt/active": "1\n", ".dockerenv": ""}
    for cpu in os.sched_getaffinity(0):
        files[f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"] = "0\n"
        files[f"sys/devices/system/cpu/cpu{cpu}/topology/core_id"] = "3\n"
        files[f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"] = "powersave\n"
    planted(files | {"sys/devices/system/cpu/intel_pstate/no_turbo": "1\n"})
    facts = machine.describe()
    assert facts["cpu"] == "Planted CPU, family 25 model 1"
    assert facts["instruction_sets"] == ["sse4_2", "avx2", "avx512f"]
    assert (facts["physical_cores"], facts["smt"], facts["virtual_machine"], facts["container"]) == (
        1,
        True,
        True,
        True,
    )
    assert (facts["governor"], facts["boost"]) == ("powersave", False)


V1 = {
    "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 40\nnr_throttled 9\nthrottled_time 77\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
}
V2 = {
    "proc/self/cgroup": "0::/slice/job\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 5\n",
    "sys/fs/cgroup/slice/cpu.stat": "nr_periods 7\nnr_throttled 0\n",
    "sys/fs/cgroup/slice/cpu.max": "200000 100000\n",
    "sys/fs/cgroup/slice/job/cpu.stat": "nr_periods 7\nnr_throttled 3\n",
    "sys/fs/cgroup/slice/job/cpu.max": "max 100000\n",
}


@pytest.mark.parametrize(
    ("files", "quota", "throttling"),
    [
        (V1, 1.5, {"periods": 40, "throttled": 9}),
        (V1 | {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n"}, None, {"periods": 40, "throttled": 9}),
        (V2, 2.0, {"periods": 7, "throttled": 3}),
        (V2 | {"sys/fs/cgroup/slice/job/cpu.max": "50000 100000\n"}, 0.5, {"periods": 7, "throttled": 3}),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.stat": "usage_usec 5\n"}, None, None),
    ],
    ids=["v1", "v1 without limit", "v2, the outer group limits", "v2, the inner group limits", "v2 without limit"],
)
def test_the_quota_is_that_of_the_narrowest_control_group(planted, files, quota, throttling):
    planted(files)
    assert machine.cpu_quota() == quota
    assert machine.cpu_throttling() == throttling


def test_a_gpu_that_does_not_tell_its_power_has_none(nvidia_smi):
    values = ["NVIDIA T4", "570.1", "P8", "300", "1590", "405", "5001", "[N/A]", "70.00", "33", "0", "4", "Enabled"]
    nvidia_smi(f"echo '{', '.join(values)}'")
    (state,) = machine._gpu_state()
    assert (state["pstate"], state["clocks.sm"], state["power.draw"]) == ("P8", "300", None)


@pytest.mark.parametrize("source", [None, "echo 'Failed to initialize NVML'; exit 9"], ids=["absent", "failing"])
def test_without_a_working_nvidia_smi_nothing_is_told_of_gpus(nvidia_smi, source):
    if source:
        nvidia_smi(source)
    assert machine._gpu_state() is None
    assert machine._gpus() == []
