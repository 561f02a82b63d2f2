"""Where the benchmarks' data come from: the user's data folder first, the Hub second, checked before a run.

Nothing of the benchmarks is in this package. ``HALLU_DATA`` names a folder with a subfolder for each benchmark, in
the layout of the official archives; ``hallu data check`` says what is there and what is missing.
"""
