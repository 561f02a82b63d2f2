"""AMBER as lmms-eval tasks."""
