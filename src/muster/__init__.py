"""Run a crew of coding agents on a repository and merge only what passes."""

__version__ = "0.1.0"
