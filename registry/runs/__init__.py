"""What a run leaves behind: where its answers come from, how it ended, and its command line without secrets."""
