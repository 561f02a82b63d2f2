"""The command ``hallu``, its listings, and the examination of an installation."""
