"""Cards of the methods, one YAML file each, and all that is read from them."""

from registry.moved import former

__getattr__ = former(__name__)
