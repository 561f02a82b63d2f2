"""Runs side by side: what must be equal in them, paired differences on the same documents, verdicts."""
