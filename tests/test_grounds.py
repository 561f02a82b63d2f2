"""Whatever a host library changes, a method answers as before or refuses by name: never anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from grounds import CONCERNED, GROUNDS, REINSPECTED
from test_families import STRONG

import hallu_models
from hallu_models.conversations import conversation
from hallu_models.hosts.host import UnsupportedModel
from hallu_models.hosts.mismatch import HostMismatch
from hallu_models.loading import inspect
from hallu_models.self_check import proof
from hallu_models.testing import families
from hallu_models.testing.questions import ROWS, picture

PAGE = Path(hallu_models.__file__).parent / "hosts" / "README.md"
ARMS = {
    "dleaf": ("dleaf", {}),
    "eah": ("eah", {}),
    "vhr": ("vhr", {}),
    "cicd": ("cicd", {"branch": "paired"}),
    "cicd, sequential": ("cicd", {"branch": "sequential"}),
    "iava": ("iava", {"instruction": "describe the content of the image ."}),
}
"""By the table's columns: last row, maps, head outputs with passes, both kinds of branch, passes with a branch."""

ASKED = [conversation(*ROWS[number]) for number in (0, 1, 3)]
OTHER = [picture(24, 24, 4), picture(16, 16, 5), picture(40, 16, 6)]
NAMED = (HostMismatch, UnsupportedModel, ValueError)


@pytest.fixture(scope="module")
def host():
    return inspect(*families.built("llava"))


def answers(host, arm):
    """Tokens of a batch, greedy and by beams, or the error that refuses to give any."""
    method, options = ARMS[arm]
    proof._PROVEN.pop(host.model, None)
    given = {**STRONG[method], **options, "other_images": OTHER, "observe": False}
    try:
        return [
            [one.token_ids for one in host.generate(ASKED, method, max_new_tokens=5, num_beams=beams, **given)]
            for beams in (1, 3)
        ]
    except NAMED as error:
        return error
    finally:
        proof._PROVEN.pop(host.model, None)


@pytest.fixture(scope="module")
def expected(host):
    return {arm: answers(host, arm) for arm in ARMS}


def table():
    """Outcomes by ground and arm, as the page gives them."""
    lines = PAGE.read_text().partition("the host library changes so")[2].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: dict(zip(ARMS, row[1:], strict=True)) for row in rows}


@pytest.mark.parametrize("name", GROUNDS)
def test_it_answers_as_before_or_refuses(name, host, expected):
    found = dict.fromkeys(ARMS, "")
    if name in REINSPECTED:
        with pytest.MonkeyPatch.context() as patch, GROUNDS[name](host, patch):
            moved = inspect(host.model, host.processor)
            expected = {**expected, **{arm: answers(moved, arm) for arm in ARMS}, "vhr before": expected["vhr"]}
    for arm in CONCERNED.get(name, ARMS):
        with pytest.MonkeyPatch.context() as patch, GROUNDS[name](host, patch):
            got = answers(host, arm)
        if isinstance(got, Exception):
            found[arm] = "refused" if str(got).strip() else "refused without a word"
            print(f"{name} / {arm}: {str(got).splitlines()[0]}")
        else:
            found[arm] = "same answers" if got == expected[arm] else f"SILENT {got} for {expected[arm]}"
    assert answers(host, "vhr") == expected.get("vhr before", expected["vhr"]), "the ground was left broken"
    print("|", name, "|", " | ".join(found.values()), "|")
    assert found == table()[name]


def test_the_page_lists_every_ground():
    assert list(table()) == list(GROUNDS)
    assert len(GROUNDS) >= 15
