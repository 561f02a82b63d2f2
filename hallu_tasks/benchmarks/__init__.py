"""The table of the benchmarks, the documents of each task, and ``hallu data``."""
