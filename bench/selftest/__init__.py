"""Experiments on the benchmark itself: how often its verdicts are wrong, what its gate lets through, what a killed run loses."""
