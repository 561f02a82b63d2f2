"""MME as a module for ``evaluate``."""
