"""Ours beside others' programs on equal settings: a student's, and anomalib's."""
