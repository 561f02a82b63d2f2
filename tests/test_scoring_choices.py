"""Which letter is read from an answer, by the three rules of public code."""

from __future__ import annotations

import random

import pytest
from lmms_eval.tasks.mmvp import utils

from hallu_tasks.scoring import choices

OPTIONS = ("Open", "Closed", "Both", "Neither")


@pytest.mark.parametrize(
    ("answer", "exact", "first", "search"),
    [
        ("B", "B", "B", "B"),
        (" B\n", "B", "B", "B"),
        ("B.", None, "B", "B"),
        ("b", None, None, "B"),
        ("(B)", None, None, "B"),
        ("Bats are there.", None, "B", "B"),
        ("The answer is B.", None, None, "B"),
        ("The wings are Closed", None, "B", "D"),
        ("Closed, not Open", None, "C", "C"),
        ("It is neither Closed nor Open", None, "A", "D"),
        ("The panda sleeps", None, None, "A"),
        ("", None, None, None),
        ("yes", None, None, None),
    ],
)
def test_the_letter_by_each_rule(answer: str, exact: str | None, first: str | None, search: str | None) -> None:
    assert choices.parse(answer, OPTIONS, "exact") == exact
    assert choices.parse(answer, OPTIONS, "first") == first
    assert choices.parse(answer, OPTIONS, "search") == search


def test_search_is_the_rule_of_the_installed_runner() -> None:
    """On 20,000 answers made of what its patterns look at."""
    rng = random.Random(0)
    pieces = [
        "A",
        "b",
        "(",
        ")",
        ".",
        " ",
        "\n",
        "a",
        "B",
        "answer is",
        "option",
        "panda",
        "the",
        "Is",
        ",",
        "\t",
        "club",
    ]
    differ = []
    for _ in range(20_000):
        answer = "".join(rng.choices(pieces, k=rng.randint(0, 6)))
        if (choices.parse(answer, OPTIONS[:2], "search") or "") != utils._extract_answer_letter(answer):
            differ.append(answer)
    assert differ == []


def test_only_the_letters_of_the_options_count() -> None:
    assert choices.parse("C", OPTIONS[:2], "exact") is None
    assert choices.parse("C", OPTIONS[:2], "search") is None
    assert choices.parse("Closed", OPTIONS[:2], "first") == "B"


def test_an_unknown_policy_and_an_answer_that_is_no_text_are_named() -> None:
    with pytest.raises(ValueError, match="unknown multiple-choice policy 'loose'; allowed: exact, first, search"):
        choices.parse("A", OPTIONS, "loose")
    with pytest.raises(TypeError, match="an answer must be text, got None"):
        choices.parse(None, OPTIONS, "exact")  # type: ignore[arg-type]
