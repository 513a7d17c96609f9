"""Hypothesis plays fate: see machine.py for what can happen, invariants.py for what must hold after it."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.chaos.machine import Countersign

# The same examples in every run, and few enough of them for every `make test`.
Countersign.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

TestCountersign = Countersign.TestCase
