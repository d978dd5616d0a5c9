"""The course: notebooks and exercises made, checked and graded."""
