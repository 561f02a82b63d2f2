"""``hallu sweep``: one method at many settings, each an ordinary run of lmms-eval in a folder of its own."""
