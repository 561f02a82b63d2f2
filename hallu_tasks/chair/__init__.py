"""CHAIR: tasks for lmms-eval, documents, metrics, and files that can be scored."""
