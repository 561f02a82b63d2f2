"""Task files: the folders they are in, the tasks in them, and how lmms-eval comes to know them."""
