"""What training tells of itself: running means over an epoch, and the history of them that `fit` returns."""

from __future__ import annotations

from backends import host

Logs = dict[str, float]


class History:
    """What `fit` returns: `history` holds a list of values an epoch for each name, `epoch` the epochs' numbers."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def append(self, epoch: int, logs: Logs) -> None:
        """Add an epoch's values."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


class Tally:
    """The running means of the loss and the metrics.

    As in Keras, the weighted sum of the losses is divided by the number of examples, that of a metric by the sum of weights.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._sums = [0.0] * len(names)
        self._count, self._weight = 0, 0.0

    def add(self, values: list[host.HostArray], weights: host.HostArray | None) -> None:
        """Add the values of some examples, one array for each name. Sums are float64's: how many come at once does not show."""
        self._count += values[0].size
        self._weight += values[0].size if weights is None else float(weights.sum(dtype="float64"))
        for i, value in enumerate(values):
            weighted = value if weights is None else value * weights.astype("float64")
            self._sums[i] += float(weighted.sum(dtype="float64"))

    def logs(self) -> Logs:
        """Return the means so far, by name, sorted as Keras does."""
        means = {name: total / (self._weight or 1.0) for name, total in zip(self._names, self._sums, strict=True)}
        means["loss"] = self._sums[0] / self._count
        return dict(sorted(means.items()))
