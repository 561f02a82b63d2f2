"""POPE as an lmms-eval task."""
