"""Answers to imbalance that make more images."""
