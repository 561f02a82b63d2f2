"""The contact layer: all that this package knows of the names and shapes of transformers and torch.

Nothing outside reads an argument of a hook, an attribute of a cache or an entry of a configuration by name. What can be
told by its kind is told by its kind: the argument that is a cache, wherever it stands and whatever it is called.
"""
