"""MME as an lmms-eval task."""
