"""Four students' reports, repeated with intervals."""
