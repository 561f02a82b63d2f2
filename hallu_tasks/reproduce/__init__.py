"""``hallu reproduce``: the runs that a published table asks for, and its numbers beside the measured ones."""
