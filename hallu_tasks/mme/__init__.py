"""MME: tasks for lmms-eval, documents, metrics, and folders that can be scored."""
