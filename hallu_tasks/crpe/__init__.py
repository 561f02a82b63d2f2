"""CRPE's existence subset: task for lmms-eval, documents, metrics, and answer files."""
