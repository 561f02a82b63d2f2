"""Yes/no parsing: every policy on the answers where published rules part ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallu_tasks.scoring import yesno

Y, N, U = "yes", "no", None

TABLE = [
    # answer, official, opera, words, strict
    ("Yes.", Y, Y, Y, U),
    ("No, there is no dog.", N, N, N, U),
    ("NO", Y, N, N, N),
    ("There isn't a dog.", Y, N, U, U),
    ("", Y, Y, U, U),
    ("Yes. It is not clear though.", Y, N, Y, U),
    ("Yes, there is no doubt", N, N, U, U),
    ("**No**", Y, Y, N, U),
    ("\nNo", Y, Y, N, N),
    ("eyes", Y, Y, U, U),
]


@pytest.mark.parametrize(
    ("answer", "policy", "expected"),
    [
        (answer, policy, expected)
        for answer, *row in TABLE
        for policy, expected in zip(("official", "opera", "words", "strict"), row, strict=True)
    ],
)
def test_answers_where_the_rules_differ(answer, policy, expected):
    assert yesno.parse(answer, policy) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("yes", Y),
        ("no", N),
        ("Yes.", Y),
        ("NO WAY", N),
        ("\nYes", Y),
        ("eyes", Y),
        ("Not", N),
        ("I think yes", U),
        ("  yes", U),
        ("", U),
    ],
)
def test_prefix_reads_the_first_four_characters(answer, expected):
    assert yesno.parse(answer, "prefix") == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("nothing", Y),
        ("know", Y),
        ("It is not.", N),
        ("yes,no", Y),
        ("I see. No", Y),
        ("a  no", N),
        ("a\tno", Y),
    ],
)
def test_official_needs_the_word_itself_between_single_spaces_before_the_first_period(answer, expected):
    assert yesno.parse(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("_No_", N),
        ("no-one", N),
        ("Yes!", Y),
        ("YES", Y),
        ("yes yes", Y),
        ("yes1", U),
        ("nö", U),
        ("yes/no", U),
    ],
)
def test_words_are_bounded_by_anything_but_letters_and_digits(answer, expected):
    assert yesno.parse(answer, "words") == expected


def test_official_is_the_default():
    assert yesno.parse("NO") == yesno.parse("NO", "official") != yesno.parse("NO", "strict")


@pytest.mark.parametrize("policy", yesno.POLICIES)
@given(answer=st.text(st.characters()))
def test_every_text_is_read_without_an_error(policy, answer):
    assert yesno.parse(answer, policy) in ((Y, N) if policy in ("official", "opera") else (Y, N, U))


@pytest.mark.parametrize("policy", yesno.POLICIES)
def test_lone_surrogates_are_text(policy):
    yesno.parse("\ud800 \udfff no", policy)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes.", Y), ("**No**", N), ("NO", N), ("There isn't a dog.", U), ("", U), ("No. Yes, maybe.", Y), ("eyes", Y),
        ("There is not.", N), ("Another dog", N),
    ],
)  # fmt: skip
def test_contains_looks_for_yes_anywhere_then_for_no(answer, expected):
    assert yesno.parse(answer, "contains") == expected


def test_unknown_policy_names_the_allowed_ones():
    with pytest.raises(ValueError, match="'exact'; allowed: official, opera, prefix, words, strict, contains"):
        yesno.parse("yes", "exact")


@pytest.mark.parametrize("answer", [None, 1, ["yes"], b"yes"])
def test_an_answer_must_be_text(answer):
    with pytest.raises(TypeError, match="must be text"):
        yesno.parse(answer)


def test_labels():
    assert (yesno.label("yes"), yesno.label(" No\n")) == (Y, N)
    for wrong in ("maybe", "", None, True):
        with pytest.raises(ValueError, match=r"unknown label .*; allowed: yes, no"):
            yesno.label(wrong)


# Decided by default

DEFAULT = [
    # answer, by official, by opera
    ("Yes.", False, False),
    ("**Yes**", False, False),
    ("YES", False, False),
    ("Yes. It is not clear though.", False, False),
    ("No.", False, False),
    ("perhaps", True, True),
    ("", True, True),
    ("NO", True, False),
    ("There isn't a dog.", True, False),
    ("**No**", True, True),
    ("eyes", True, True),
    ("There is a dog.", True, True),
]


@pytest.mark.parametrize(("answer", "official", "opera"), DEFAULT, ids=[repr(row[0]) for row in DEFAULT])
def test_what_is_read_as_yes_for_want_of_a_no(answer, official, opera):
    assert (yesno.by_default(answer, "official"), yesno.by_default(answer, "opera")) == (official, opera)
    assert not any(yesno.by_default(answer, policy) for policy in ("prefix", "words", "strict", "contains"))


@given(st.text())
def test_an_answer_by_default_is_read_as_yes(answer):
    for policy in yesno.POLICIES:
        assert not yesno.by_default(answer, policy) or yesno.parse(answer, policy) == "yes"


def test_many_answers_by_default_are_a_warning_and_few_are_not():
    assert yesno.caution({"answers": (0, 100)}, "official", default=True) is None
    for count, loud in ((1, False), (5, False), (6, True)):
        said = yesno.caution({"answers": (count, 100)}, "official", default=True)
        assert said is not None and said[0] is loud
        assert said[1].startswith(f"{count} of 100 answers ({count} %)") and "by default: yes" in said[1]
