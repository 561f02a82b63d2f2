"""Scores of answers from files, with their intervals, and what a benchmark says for ``hallu score``."""
