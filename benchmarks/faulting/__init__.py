"""Faults on purpose, see :mod:`benchmarks.faults`: jobs to kill, writers to refuse, and how either is done."""
