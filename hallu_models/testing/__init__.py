"""Tests for authors of methods: the whole contract on tiny models of all families, in one line.

from hallu_models.testing import assert_contract
assert_contract(MyMethod(strength=3.0), identity={"strength": 0.0})
"""

from hallu_models.testing.contract import assert_contract
from hallu_models.testing.dense_row import Row
from hallu_models.testing.report import ContractFailed, Report

__all__ = ["ContractFailed", "Report", "Row", "assert_contract"]
