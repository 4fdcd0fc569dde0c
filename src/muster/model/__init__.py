"""Frozen values and the pure functions that decide over them."""
