"""POPE and OPOPE: tasks for lmms-eval, documents, metrics, and files that can be scored."""
