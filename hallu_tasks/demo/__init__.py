"""The demo tasks: captions and yes/no questions about 512 held-out scenes, for the model shipped with the package."""
