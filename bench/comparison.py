"""What each measurement is compared with, and what comes of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from bench import peers, statistics
from bench.cases import CONTROL
from bench.measurement import Measurement, Row
from bench.statistics import Estimate

LOOPS = ("hand_written", "unit")
"""What a person would write without a library: the course's loop over units. The faster of the two is the baseline."""
EAGER = ("matmul", "eager")
"""What a library is called for as it is, of the ladder and of a user's function."""
COMPILED = ("compiled", "fold")
OURS = {"epoch": "fold", "predict": "predict", "row": "call"}
"""What of this project its peers are compared with, by kind of work."""
OURS_ON = ("numpy", "numba", "jax")
"""The backends on which they are."""
KEYS = ("dtype", "result_dtype", "matmul_precision", "threads", "subnormals")
"""What two rows must have in common to be compared like for like; threads only where both are on a CPU."""
NARROW = 0.03
LEAST_PROCESSES = 3


class Rivals:
    """The measurements of a run, each beside those of its group: they were measured in the same rounds."""

    def __init__(self, measurements: Iterable[Measurement], backends: dict[str, Row]) -> None:
        self._backends = backends
        self._groups: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
        self._with_peers: set[str] = set()
        for measurement in measurements:
            if peers.is_peer(measurement.spec):
                self._with_peers.add(measurement.case.group)
            if measurement.measured:
                self._groups[measurement.case.group, measurement.case.precision].append(measurement)

    def baseline(self, own: Measurement) -> Measurement | None:
        """Return what `speedup` compares with: the faster of NumPy's loops, or what NumPy does at once where there is no loop.

        They are in the row's precision, or in float32 where NumPy does not have that. The control is compared with what it
        repeats.
        """
        on_numpy = self._on_numpy(own) or self._on_numpy(own, "float32")
        repeated = [m for m in on_numpy if m.case.implementation in EAGER]
        loops = [m for m in on_numpy if m.case.implementation in LOOPS]
        chosen = repeated if own.case.implementation == CONTROL else loops or repeated
        return min(chosen, key=lambda m: m.call.value / m.examples, default=None)

    def numpy(self, own: Measurement) -> Measurement | None:
        """Return NumPy's measurement of the same implementation, or what it does at once where it has none."""
        same = {m.case.implementation: m for m in self._on_numpy(own)}
        return next((same[name] for name in (own.case.implementation, *EAGER, "hand_written") if name in same), None)

    def eager(self, own: Measurement) -> Measurement | None:
        """Return, for what is compiled, the same on the same backend as its library runs it call by call."""
        if own.case.implementation not in COMPILED:
            return None
        same = [m for m in self._beside(own) if m.spec == own.spec]
        return next((m for m in same if m.case.implementation in EAGER), None)

    def float32(self, own: Measurement) -> Measurement | None:
        """Return, for another precision, the same implementation on the same backend in float32."""
        if own.case.precision == "float32":
            return None
        named = own.spec, own.case.implementation
        return next((m for m in self._beside(own, "float32") if (m.spec, m.case.implementation) == named), None)

    def ours(self, own: Measurement) -> dict[str, Measurement]:
        """Return, by backend, what of this project a peer is compared with; and beside peers, any other row."""
        if own.case.group not in self._with_peers:
            return {}
        specs = {f"{name}:{own.identity['device']}": name for name in OURS_ON}
        return {
            specs[m.spec]: m
            for m in self._beside(own)
            if m.spec in specs and m.case.implementation == OURS[own.case.kind]
        }

    def narrow(self, own: Measurement) -> bool:
        """Tell whether more processes would tell little more: every comparison's interval reaches 3 % at most."""
        if own.processes < LEAST_PROCESSES:
            return False
        estimates = [ratio for other in self.others(own) if (ratio := _ratio(other, own))] or [own.call]
        return all(estimate.half_width <= NARROW for estimate in estimates)

    def others(self, own: Measurement) -> list[Measurement]:
        """Return all that a measurement is compared with."""
        found = (self.baseline(own), self.numpy(own), self.eager(own), self.float32(own), *self.ours(own).values())
        return [m for m in found if m is not None and m is not own]

    def columns(self, own: Measurement) -> Row:
        """Return the columns that compare a measurement."""
        row: Row = {}
        if baseline := self.baseline(own):
            row |= {"baseline": f"{baseline.spec}/{baseline.case.implementation}"}
            row |= self._against(baseline, own)
        over = {"numpy": self.numpy(own), "eager": self.eager(own), "float32": self.float32(own)}
        for name, other in over.items():
            if other and other is not own and (ratio := _ratio(other, own)):
                row |= _estimate(f"speedup_over_{name}", ratio) | {f"verdict_over_{name}": statistics.verdict(ratio)}
        for name, other in self.ours(own).items():
            if other is not own and (ratio := _ratio(own, other)):
                row |= _estimate(f"speedup_of_{name}", ratio) | {f"verdict_of_{name}": statistics.verdict(ratio)}
        return row | {"break_even_calls": self._break_even_calls(own)}

    def _against(self, baseline: Measurement, own: Measurement) -> Row:
        if own is baseline:
            return _estimate("speedup", Estimate(1.0, 1.0, 1.0)) | {"verdict": "BASELINE"}
        logs = statistics.paired_logs(baseline.blocks, own.blocks)
        if len(logs) < 2:  # a speed-up is never shown without its interval
            return {"verdict": "UNRESOLVED"}
        ratio = statistics.over_processes(logs)
        return _estimate("speedup", ratio) | {
            "verdict": statistics.verdict(ratio),
            "smallest_effect": statistics.smallest_effect(logs),
            "false_alarm_rate": statistics.false_alarm_rate(logs) if own.case.implementation == CONTROL else None,
            "unlike": self.unlike(baseline, own),
        }

    def _beside(self, own: Measurement, precision: str = "") -> list[Measurement]:
        """Return the group's measurements in that precision, or the measurement's own."""
        return self._groups[own.case.group, precision or own.case.precision]

    def _on_numpy(self, own: Measurement, precision: str = "") -> list[Measurement]:
        return [m for m in self._beside(own, precision) if m.spec.startswith("numpy:")]

    def unlike(self, one: Measurement, other: Measurement) -> str:
        """Return in which keys two measurements differ, with both values; nothing where they are like for like."""
        on_cpu = {one.identity["device"], other.identity["device"]} == {"cpu"}
        pairs = [(key, self._key(one, key), self._key(other, key)) for key in KEYS if on_cpu or key != "threads"]
        return "; ".join(f"{key} {a} and {b}" for key, a, b in pairs if a != b and None not in (a, b))

    def _key(self, own: Measurement, key: str) -> object:
        if key == "dtype":
            return own.case.dtype
        if key == "subnormals":
            return "present" if own.fact(key) else "absent"
        return own.fact(key) or self._backends.get(own.spec, {}).get(key)

    def _break_even_calls(self, own: Measurement) -> float | None:
        """Return how many calls repay the first one and the placing of inputs, against the best eager row on a CPU."""
        eager = [
            m
            for m in self._beside(own)
            if m.identity["device"] == "cpu" and m.case.implementation not in COMPILED and not peers.is_peer(m.spec)
        ]
        best = min(eager, key=lambda m: m.call.value / m.examples, default=None)
        if best is None or best is own:
            return None
        saved_s = best.call.value * own.examples / best.examples - own.call.value
        spent_s = own.fact("first_call_s") + own.fact("host_to_device_s")
        return spent_s / saved_s if saved_s > 0 else None


def _ratio(baseline: Measurement, own: Measurement) -> Estimate | None:
    """Return how many times faster for each example, where there is an interval for it."""
    ratio = statistics.paired_ratio(baseline.blocks, own.blocks)
    return ratio if ratio and not math.isnan(ratio.low) else None


def _estimate(name: str, estimate: Estimate) -> Row:
    return {name: estimate.value, f"{name}_ci_low": estimate.low, f"{name}_ci_high": estimate.high}
