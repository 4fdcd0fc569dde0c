"""Measures Muster's own overhead and keeps its promises honest."""
