"""Doubles and contract tests for those who write adapters."""
