"""Journals as numbers and words for people: metrics, summaries, costs, drift."""
