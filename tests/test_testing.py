"""The contract finds what is wrong with a method, and says on which family and in which check."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from hallu_models.interventions import BadArgument, Intervention, LayerStep, LogitsStep
from hallu_models.testing import ContractFailed, assert_contract

FAMILY = ["llava"]


@dataclass(frozen=True)
class Scaled(Intervention):
    """More attention to the image, where the next token is predicted."""

    name: ClassVar[str] = "scaled"

    gain: float = 3.0

    def row_scores(self, scores, at: LayerStep):
        return scores + math.log(self.gain) * at.columns.image[:, None]


def equations(method, row):
    def attend(layer, scores):
        plain = scores.softmax(dim=-1)
        weighted = torch.where(row.image, method.gain, 1.0) * plain
        edited = weighted / weighted.sum(dim=-1, keepdim=True)
        return torch.where(row.last[:, None], edited, plain)

    return row.forward(attend)


OFF = {"gain": 1.0}


@pytest.mark.parametrize("given", [Scaled, Scaled()], ids=["class", "instance"])
def test_a_method_that_keeps_it(given):
    report = assert_contract(given, families=["llava", "lfm2_vl"], identity=OFF, reference=equations)
    passed = ("identity", "it acts", "reference", "batches", "rows without an image", "backends", "beams", "clean exit")
    assert report.checks == {"llava": passed}
    assert list(report.refused) == ["lfm2_vl"] and "convolution" in report.refused["lfm2_vl"]
    assert "scaled keeps its contract on 1 families" in str(report) and "refused: " in str(report)


def test_some_of_the_checks_are_run_by_name_and_others_are_refused():
    report = assert_contract(Scaled, families=["llava"], identity=OFF, only=["beams", "it acts"])
    assert report.checks == {"llava": ("it acts", "beams")}
    with pytest.raises(BadArgument, match="only=batch: unknown check.*did you mean batches.*; allowed: identity, "):
        assert_contract(Scaled, families=["llava"], identity=OFF, only=["batch"])


class Louder(Scaled):
    """Never off."""

    def row_scores(self, scores, at):
        return scores + 2.0 * at.columns.image[:, None]


class Idle(Scaled):
    def row_scores(self, scores, at):
        return scores


class Mixed(Scaled):
    """Every row takes the mean over the batch."""

    def head_outputs(self, outputs, at):
        return outputs + (self.gain - 1) * outputs.mean(dim=0, keepdim=True)


class Padded(Scaled):
    """Counts the columns, the padding among them."""

    def row_scores(self, scores, at):
        return scores + math.log(self.gain) * scores.shape[-1] / 20 * at.columns.image[:, None]


KEPT: dict[str, torch.Tensor] = {}


class Unordered(Scaled):
    """Keeps what it saw where beams do not reach it."""

    def token_logits(self, logits, at: LogitsStep):
        before = KEPT.get("before")
        KEPT["before"] = logits.softmax(dim=-1)
        same = before is not None and at.step and before.shape == logits.shape
        return logits - 20 * math.log(self.gain) * before if same else logits


class Left(Scaled):
    """Leaves something on the model."""

    found: ClassVar[list[torch.nn.Module]] = []

    def row_scores(self, scores, at):
        if self.gain != 1:
            for module in self.found:
                module.left_behind = True
        return super().row_scores(scores, at)


class Raises(Scaled):
    def row_scores(self, scores, at):
        return scores.missing if at.step == 2 else scores


@pytest.mark.parametrize(
    ("method", "check", "said"),
    [
        (Louder, "identity", "greedy: with the identity settings row 1 is "),
        (Idle, "it acts", "give stronger parameters="),
        (Mixed, "batches", "alone it is another than in its batch"),
        (Padded, "batches", "alone it is another than in its batch"),
        (Unordered, "beams", "one of 4 beams, and the same tokens alone"),
        (Raises, "identity", "AttributeError: 'Tensor' object has no attribute 'missing'"),
    ],
)
def test_what_is_wrong_is_named(method, check, said):
    with pytest.raises(ContractFailed) as caught:
        assert_contract(method, families=FAMILY, identity=OFF)
    assert str(caught.value).startswith(f"scaled on the family llava, {check}: ")
    assert said in str(caught.value)


def test_a_model_that_is_not_what_it_was_is_found(monkeypatch):
    from hallu_models.testing.questions import host

    decoder = host("llava").decoder
    monkeypatch.setattr(Left, "found", [decoder])
    try:
        with pytest.raises(ContractFailed, match="clean exit: after use .* are others in model.language_model"):
            assert_contract(Left, families=FAMILY, identity=OFF)
    finally:
        del decoder.left_behind


def test_other_equations_are_found():
    with pytest.raises(ContractFailed, match=r"reference: row 1, token \d+: the batch, and the reference: .*apart by"):
        assert_contract(Scaled, families=FAMILY, identity=OFF, reference=lambda method, row: row.forward())


def test_bad_calls_say_what_to_do():
    with pytest.raises(ValueError, match=r"no card that says when it is the plain model; give identity=\{...\}"):
        assert_contract(Scaled)
    with pytest.raises(
        ValueError, match=r"families=lava: unknown family \(did you mean llava or .*\); allowed: llava, "
    ):
        assert_contract(Scaled, families=["lava"], identity=OFF)
