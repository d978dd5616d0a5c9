"""Anomaly detectors, a file each."""
