"""Greedy k-centre coreset, exact."""
