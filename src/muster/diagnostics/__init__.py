"""This package says what is wrong: the doctor's checks, reports of a run, and runs as one file for somebody else."""
