"""HallusionBench as lmms-eval tasks."""
