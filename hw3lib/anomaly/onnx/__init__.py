"""Detectors as ONNX files, and scoring with them."""
