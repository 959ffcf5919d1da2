"""From the doctor's facts to its findings on NVIDIA GPUs: who reaches them, and what keeps the others away."""

from __future__ import annotations

import shlex
from typing import Any

from bench.doctor.examination import Facts
from bench.doctor.finding import Finding

# cuInit's results that say what to do; every other is passed on as it is.
CUDA_REMEDIES = {
    100: "nvidia-smi -L",  # no device: hidden from this process, or none is left
    802: "sudo systemctl restart nvidia-fabricmanager",  # system not yet initialized
    803: "sudo reboot",  # the kernel's part of the driver and the library are of two versions
    999: "sudo modprobe nvidia_uvm",  # unknown: most often this module is not loaded
}
BUSY_PERCENT = 10.0
HIDING = ("", "-1", "none", "void", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES with which no GPU is seen


def diagnose(facts: Facts) -> list[Finding]:
    """Return what is found of the GPUs, of the libraries that could use them, and of who else does."""
    driver = facts.driver
    evidence = {name: value for name, value in driver.items() if name != "error"}
    if not (
        driver.get("pci") or driver.get("device_files") or driver.get("nvidia_smi") or driver.get("cuda_result") == 0
    ):
        if "error" in driver:
            return [Finding("gpu", "wrong", f"Asking NVIDIA's driver failed: {driver['error']}.", evidence=evidence)]
        return [Finding("gpu", "ok", "There is no NVIDIA GPU here.", evidence=evidence)]
    if driver.get("cuda_result") != 0:
        return [_unreachable(facts, evidence)]
    version = driver["cuda_version"] or 0
    sentence = (
        f"NVIDIA's driver works, for CUDA {version // 1000}.{version % 1000 // 10}: {'; '.join(facts.machine['gpus'])}."
    )
    return [Finding("gpu", "ok", sentence, evidence=evidence), _cupy(facts), _jax(facts), *_others(facts)]


def _unreachable(facts: Facts, evidence: dict[str, Any]) -> Finding:
    """Say why the driver of a GPU that is there does not start, in its own words."""
    driver = facts.driver
    seen = "; ".join(driver["nvidia_smi"] or driver["device_files"] or driver["pci"])
    if facts.variables.get("CUDA_VISIBLE_DEVICES", "0") in HIDING and driver["cuda_result"] == 100:
        sentence = f"CUDA_VISIBLE_DEVICES={facts.variables['CUDA_VISIBLE_DEVICES']} hides the GPUs ({seen})."
        return Finding("gpu", "wrong", sentence, None, "unset CUDA_VISIBLE_DEVICES", evidence)
    if driver["cuda_result"] is None:
        sentence = (
            f"An NVIDIA GPU is here ({seen}), but no driver for programs: {driver['libcuda'] or driver.get('error')}."
        )
        line = "docker run --gpus all" if facts.machine["container"] else "sudo ubuntu-drivers install"
        return Finding("gpu", "wrong", sentence, None, line, evidence)
    words = driver["cuda_error"] or "no message"
    sentence = (
        f"An NVIDIA GPU is here ({seen}), but its driver does not start: {words} (cuInit {driver['cuda_result']})."
    )
    return Finding("gpu", "wrong", sentence, None, CUDA_REMEDIES.get(driver["cuda_result"]), evidence)


def _cupy(facts: Facts) -> Finding:
    status, major = _status(facts, "cupy"), _cuda_major(facts)
    evidence = {name: version for name, version in facts.distributions.items() if name.startswith("cupy")}
    if status.get("usable"):
        return Finding("cupy", "ok", f"CuPy reaches {', '.join(status['devices'])}.", evidence=evidence)
    installed = [name for name in ("cupy", "cupy-cuda12x", "cupy-cuda13x") if facts.distributions.get(name)]
    package = f"cupy-cuda{major}x"
    if not installed:
        sentence = "CuPy is not installed, and there is a GPU that it could use."
        return Finding("cupy", "note", sentence, None, _pip(facts, f"{package}[ctk]"), evidence)
    sentence = f"CuPy cannot use the GPU: {status.get('reason')}."
    line = _pip(facts, f"{package}[ctk]")
    if installed != [package]:  # two of them overwrite each other's files, and one for a newer CUDA finds no driver
        line = f"{shlex.quote(facts.python)} -m pip uninstall -y {' '.join(installed)}; {line}"
    return Finding("cupy", "wrong", sentence, None, line, evidence)


def _jax(facts: Facts) -> Finding:
    status, major = _status(facts, "jax"), _cuda_major(facts)
    evidence = {name: version for name, version in facts.distributions.items() if name.startswith("jax")}
    if any(device.startswith("gpu") for device in status.get("devices", ())):
        return Finding("jax", "ok", f"JAX reaches {', '.join(status['devices'])}.", evidence=evidence)
    line = _pip(facts, f"jax[cuda{major}]")
    if not facts.distributions.get("jax"):
        return Finding(
            "jax", "note", "JAX is not installed, and there is a GPU that it could use.", None, line, evidence
        )
    platforms = next((name for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if name in facts.variables), None)
    if platforms:
        sentence = f"JAX computes on the CPU, because {platforms}={facts.variables[platforms]} is set."
        return Finding("jax", "wrong", sentence, None, f"unset {platforms}", evidence)
    if not facts.distributions.get(f"jax-cuda{major}-plugin"):
        sentence = f"JAX computes on the CPU: its plugin for CUDA {major} is not installed."
        return Finding("jax", "wrong", sentence, None, line, evidence)
    return Finding("jax", "wrong", f"JAX cannot use the GPU: {facts.jax_on_cuda}.", None, line, evidence)


def _others(facts: Facts) -> list[Finding]:
    """Tell of GPUs that something else is computing on."""
    used = {
        f"gpu:{index}": float(state["utilization.gpu"])
        for index, state in enumerate(facts.machine["gpu_state"] or [])
        if state["utilization.gpu"] is not None and float(state["utilization.gpu"]) > BUSY_PERCENT
    }
    if not used:
        return []
    told = ", ".join(f"{name} {percent:.0f} %" for name, percent in used.items())
    return [
        Finding("gpu_load", "note", f"Something else computes on the GPU: {told}.", None, "nvidia-smi", {"used": used})
    ]


def _status(facts: Facts, name: str) -> dict[str, Any]:
    return next((status for status in facts.statuses if status["name"] == name), {})


def _cuda_major(facts: Facts) -> int:
    """Return the newest CUDA, 12 or 13, that the driver supports and the libraries are packed for."""
    return 13 if (facts.driver["cuda_version"] or 0) >= 13000 else 12


def _pip(facts: Facts, requirement: str) -> str:
    return f"{shlex.quote(facts.python)} -m pip install --upgrade {shlex.quote(requirement)}"
