"""Faults on purpose, see :mod:`tests.robustness.faults`: jobs to kill, writers to refuse, and how either is done."""
