"""``hallu calibrate``: settings for a model that no paper has settings for, from what is measured on it."""
