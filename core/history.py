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
    """The running means of the loss and the metrics, over the examples.

    As in Keras, the losses are weighted, and still divided by the number of examples; `metrics=` are not.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._sums = [0.0] * len(names)
        self._count = 0

    def add(self, values: list[host.HostArray], weights: host.HostArray | None) -> None:
        """Add the values of some examples, one array for each name. Sums are float64's: how many come at once does not show."""
        losses, *metrics = values
        self._count += losses.size
        if weights is not None:
            losses = losses * weights.astype("float64")
        for i, value in enumerate((losses, *metrics)):
            self._sums[i] += float(value.sum(dtype="float64"))

    def logs(self) -> Logs:
        """Return the means so far, by name, sorted as Keras does."""
        return dict(sorted((name, total / self._count) for name, total in zip(self._names, self._sums, strict=True)))
