"""Faults and hostile input on purpose: ``python -m tests.robustness.faults``, ``test_fuzz.py``."""
