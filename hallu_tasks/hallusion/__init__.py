"""HallusionBench: its task for lmms-eval, documents and metrics."""
