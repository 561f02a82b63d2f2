"""``hallu new-method``: a package, or files of this repository, with a method that works as it is."""
