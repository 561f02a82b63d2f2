"""CHAIR as a module for ``evaluate``."""
