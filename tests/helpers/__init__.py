"""What several tests use; a test imports from here, and never another test."""
