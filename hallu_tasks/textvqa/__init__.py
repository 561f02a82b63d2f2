"""TextVQA as lmms-eval tasks."""
