"""MMVP: task for lmms-eval, documents, metrics, and answer files."""
