"""Adapters that drive coding-agent programs."""
