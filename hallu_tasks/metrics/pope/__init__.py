"""POPE as a module for ``evaluate``."""
