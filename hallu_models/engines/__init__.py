"""How an edit reaches the model: attention functions registered with transformers and forward pre-hooks."""
