"""The five questions of the assignment, a file each."""
