"""Entry points of other distributions, and the names of methods and models with the code behind them."""

from registry.moved import former

__getattr__ = former(__name__)
