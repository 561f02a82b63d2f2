"""The contact layer: all that this package knows of the names and shapes of lmms-eval.

Nothing outside imports lmms-eval, names one of its modules, or reads one of its objects' attributes by name. Importing
anything here imports neither lmms-eval nor torch. `README.md` says what holds and who says so when it does not.
"""
