"""YAML files as plain data, and typed access to them."""
