"""A method's equations, one method a file: ``reference(method, row)`` gives the logits (L, V) or (T, V) of one row."""
