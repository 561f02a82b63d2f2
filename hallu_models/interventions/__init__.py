"""Hallucination-mitigation methods, one a file; their cards are in ``registry/cards``."""
