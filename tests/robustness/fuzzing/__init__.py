"""Damaged and hostile input for every reader of hw3lib; ``tests/robustness/fuzz.py`` counts what becomes of it."""
