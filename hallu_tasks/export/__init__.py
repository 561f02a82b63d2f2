"""``hallu export``: a run's scores in the formats of community leaderboards, written without a network."""
