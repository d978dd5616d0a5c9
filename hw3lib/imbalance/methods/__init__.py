"""Answers to imbalance that change training."""
