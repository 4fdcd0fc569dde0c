"""A run as its journal has it, and what is decided from there."""
