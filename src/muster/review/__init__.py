"""Judging changes: what was changed, what is wrong with it, and the verdict."""
