"""AMBER as a module for ``evaluate``."""
