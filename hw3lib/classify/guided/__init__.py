"""Defect-guided classification: good images say where to look."""
