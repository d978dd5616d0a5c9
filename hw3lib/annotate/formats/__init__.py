"""Annotation formats: each writes instances and reads them back."""
