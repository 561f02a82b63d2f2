"""What multiple-choice benchmarks share: questions in sets, metrics, what a task calls, and the form of a score."""
