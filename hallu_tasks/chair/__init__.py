"""CHAIR as an lmms-eval task."""
