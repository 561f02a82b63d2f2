"""What the README says is what there is."""

from __future__ import annotations

import re

import pytest
import readme_tables

import registry

TEXT = readme_tables.README.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", readme_tables.generated(), ids=lambda page: page.parent.name)
def test_generated_parts_are_what_cards_and_rooms_say(page):
    assert readme_tables.renewed(page) == page.read_text(encoding="utf-8"), "run `make readme`"


def test_model_ids_in_commands_exist():
    ids = set(re.findall(r"--model (\w+)", TEXT)) | set(re.findall(r"results/(\w+)", TEXT))
    others = {"results", "compare", "sweep"}
    assert ids <= registry.models().keys() | others, ids - registry.models().keys() - others


def test_commands_of_hallu_exist():
    from registry.commands import cli

    assert set(re.findall(r"`hallu ([a-z-]+)", TEXT)) <= set(cli.COMMANDS)


def test_files_that_it_names_exist():
    root = readme_tables.README.parent
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (root / name).exists(), name
