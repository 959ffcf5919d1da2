"""The conformance suite: what a backend must keep to, each requirement a function that tries it."""
