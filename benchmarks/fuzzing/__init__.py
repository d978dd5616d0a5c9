"""Damaged and hostile input for every reader of hw3lib; ``benchmarks/fuzz.py`` counts what becomes of it."""
