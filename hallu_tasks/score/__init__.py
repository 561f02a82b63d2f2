"""``hallu score``: score the files of answers that other code wrote, without a model."""
