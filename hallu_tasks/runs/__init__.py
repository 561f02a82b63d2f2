"""What lmms-eval wrote of a run: its settings, samples and scores, how it is shown and repeated."""
