"""Model families, and which methods work on them."""
