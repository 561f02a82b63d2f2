"""TextVQA: tasks for lmms-eval, documents and metrics."""
