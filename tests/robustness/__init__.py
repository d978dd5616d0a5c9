"""Faults and hostile input on purpose: ``python -m tests.robustness.faults``, ``python -m tests.robustness.fuzz``."""
